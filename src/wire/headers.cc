#include "wire/headers.h"

#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace warren::wire {
namespace {

using Bytes = std::span<const std::byte>;

std::uint8_t transport_header_length(std::uint8_t protocol, Bytes transport) noexcept {
  switch (protocol) {
    case ip_protocol::tcp: {
      const auto tcp = TcpView::parse(transport);
      return tcp ? static_cast<std::uint8_t>(tcp->header_length()) : std::uint8_t{0};
    }
    case ip_protocol::udp:
      return UdpView::parse(transport) ? UdpView::header_length : 0;
    case ip_protocol::icmp:
    case ip_protocol::icmpv6:
      return IcmpView::parse(transport) ? IcmpView::header_length : 0;
    default:
      return 0;
  }
}

bool parse_ipv4(Bytes packet, Headers& headers) noexcept {
  const auto ip = Ipv4View::parse(packet.subspan(headers.l3));
  if (!ip) return false;
  headers.l4 = headers.l3 + static_cast<std::uint32_t>(ip->header_length());
  headers.end = headers.l3 + ip->total_length();
  headers.protocol = ip->protocol();
  headers.fragment = ip->is_fragment();
  headers.later_fragment = ip->fragment_offset() != 0;
  return true;
}

bool parse_ipv6(Bytes packet, Headers& headers) noexcept {
  const auto ip = Ipv6View::parse(packet.subspan(headers.l3));
  if (!ip) return false;
  const auto extensions = walk_ipv6_extensions(ip->next_header(), ip->payload());
  if (!extensions) return false;
  headers.ipv6 = true;
  headers.l4 =
      headers.l3 + static_cast<std::uint32_t>(Ipv6View::min_header_length + extensions->length);
  headers.end =
      headers.l3 + static_cast<std::uint32_t>(Ipv6View::min_header_length) + ip->payload_length();
  headers.protocol = extensions->protocol;
  headers.fragment = extensions->fragment;
  headers.later_fragment = extensions->later_fragment;
  headers.authenticated = extensions->authenticated;
  return true;
}

// Ethernet's type must agree with the version that the packet says.
bool find_l3(Bytes packet, Medium medium, Headers& headers) noexcept {
  if (medium == Medium::ip) return true;
  const auto frame = EthernetView::parse(packet);
  if (!frame) return false;
  headers.l3 = static_cast<std::uint32_t>(frame->header_length());
  headers.ipv6 = frame->type() == ether_type::ipv6;
  if (!headers.ipv6 && frame->type() != ether_type::ipv4) return false;
  return packet.size() > headers.l3 &&
         load8(packet.data() + headers.l3) >> 4 == (headers.ipv6 ? 6 : 4);
}

bool find_l4(Bytes packet, Headers& headers) noexcept {
  if (packet.size() <= headers.l3) return false;
  return load8(packet.data() + headers.l3) >> 4 == 4 ? parse_ipv4(packet, headers)
                                                     : parse_ipv6(packet, headers);
}

}  // namespace

// Fills the result where it will stand: copying a struct right after its small fields were written
// stalls.
std::optional<Headers> parse_headers(Bytes packet, Medium medium) noexcept {
  std::optional<Headers> found(std::in_place);
  if (!find_l3(packet, medium, *found) || !find_l4(packet, *found)) {
    found.reset();
  } else if (!found->later_fragment) {
    const auto transport = packet.subspan(found->l4, found->end - found->l4);
    found->l4_length = transport_header_length(found->protocol, transport);
  }
  return found;
}

}  // namespace warren::wire
