// Fragmentation of any bytes: what is accepted comes out as fragments that fit, parse and add up.
#include <vector>

#include "core/fuzzing.h"
#include "offload/fragment.h"
#include "wire/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace warren;
  if (size < 2) return 0;
  const std::size_t mtu = data[0] * std::size_t{16} + data[1];
  const auto packet = std::as_bytes(std::span(data, size)).subspan(2);
  const auto plan = offload::FragmentPlan::make(packet, mtu, 1);
  if (!plan) return 0;
  const auto whole = wire::parse_headers(packet, Medium::ip);
  std::size_t payload = 0;
  for (std::size_t i = 0; i < plan->count(); ++i) {
    std::vector<std::byte> bytes(plan->fragment_size(i));
    require(bytes.size() <= mtu);
    plan->write_fragment(i, bytes.data());
    const auto headers = wire::parse_headers(bytes, Medium::ip);
    require(headers && headers->end == bytes.size());
    payload += bytes.size() - (headers->ipv6 ? 48 : 20);
  }
  const auto ipv6 = (std::to_integer<unsigned>(packet[0]) >> 4) == 6;
  require(!whole || payload == whole->end - (ipv6 ? 40U : 20U));
  return 0;
}
