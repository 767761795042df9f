#include "wire/ipv6.h"

namespace warren::wire {

std::optional<Ipv6Extensions> walk_ipv6_extensions(std::uint8_t next_header,
                                                   std::span<const std::byte> payload) noexcept {
  std::optional<Ipv6Extensions> result(std::in_place);
  auto& found = *result;
  found.protocol = next_header;
  while (!found.later_fragment) {
    const auto rest = payload.subspan(found.length);
    const bool known =
        found.protocol == ip_protocol::hop_by_hop || found.protocol == ip_protocol::routing ||
        found.protocol == ip_protocol::fragment || found.protocol == ip_protocol::authentication ||
        found.protocol == ip_protocol::destination_options;
    if (!known) break;
    if (rest.size() < 8) return std::nullopt;

    std::size_t length = (std::size_t{load8(rest.data() + 1)} + 1) * 8;
    if (found.protocol == ip_protocol::fragment) {
      length = 8;  // its second byte is reserved
      found.fragment = true;
      found.later_fragment = (load16(rest.data() + 2) & 0xfff8) != 0;
    } else if (found.protocol == ip_protocol::authentication) {
      length = (std::size_t{load8(rest.data() + 1)} + 2) * 4;
      found.authenticated = true;
    }
    if (length > rest.size()) return std::nullopt;
    found.protocol = load8(rest.data());
    found.length += length;
  }
  return result;
}

}  // namespace warren::wire
