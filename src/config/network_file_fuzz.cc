// A network file may be anything: it becomes a description, or an error whose every line names a
// place.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/network_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = warren::config::parse_network(text, "fuzz.toml");
  if (spec && spec->nodes.empty()) std::abort();
  if (!spec && !spec.error().message.starts_with("fuzz.toml:")) std::abort();
  return 0;
}
