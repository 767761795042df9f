#include <cstdio>

#include <warren/loop.h>
#include <warren/packet.h>
#include <warren/tun.h>

int main() {
  const auto prefix = warren::IpPrefix::parse("10.0.1.1/24");
  auto loop = warren::Loop::create();
  if (!prefix || !loop || !(*loop)->pool().allocate()) return 1;
  std::printf("%s on %s\n", prefix->to_string().c_str(), std::string((*loop)->backend()).c_str());
  return 0;
}
