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

}  // namespace

std::optional<Headers> parse_headers(Bytes packet, Medium medium) noexcept {
  Headers headers;
  if (medium == Medium::ethernet) {
    const auto frame = EthernetView::parse(packet);
    if (!frame || (frame->type() != ether_type::ipv4 && frame->type() != ether_type::ipv6))
      return std::nullopt;
    headers.l3 = static_cast<std::uint32_t>(frame->header_length());
    const auto version = frame->type() == ether_type::ipv4 ? 4 : 6;
    if (packet.size() == headers.l3 || load8(packet.data() + headers.l3) >> 4 != version)
      return std::nullopt;
  }
  if (packet.size() <= headers.l3) return std::nullopt;
  const auto version = load8(packet.data() + headers.l3) >> 4;
  if (version == 4 ? !parse_ipv4(packet, headers) : !parse_ipv6(packet, headers))
    return std::nullopt;
  if (!headers.later_fragment) {
    headers.l4_length = transport_header_length(
        headers.protocol, packet.subspan(headers.l4, headers.end - headers.l4));
  }
  return headers;
}

}  // namespace warren::wire
