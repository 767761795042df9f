#include "wire/vxlan_outer.h"

#include <algorithm>
#include <cstring>

#include "wire/checksum.h"
#include "wire/headers.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/traffic_class.h"
#include "wire/udp.h"
#include "wire/vxlan.h"

namespace warren::wire {

namespace {

constexpr std::uint8_t hops = 64;
constexpr std::uint8_t plain_ipv4 = 0x45;  // no options

void put_address(std::byte* out, const IpAddress& address) noexcept {
  std::memcpy(out, address.bytes.data(), address.ipv6 ? 16 : 4);
}

}  // namespace

std::optional<std::size_t> find_vxlan_outer(std::span<const std::byte> packet) noexcept {
  if (packet.empty()) return std::nullopt;
  const bool ipv6 = load8(packet.data()) >> 4 == 6;
  if (!ipv6 && load8(packet.data()) != plain_ipv4) return std::nullopt;
  const auto length = vxlan_outer_length(ipv6);
  if (packet.size() <= length) return std::nullopt;
  const bool udp = ipv6 ? Ipv6View(packet.data()).next_header() == ip_protocol::udp
                        : Ipv4View(packet.data()).protocol() == ip_protocol::udp &&
                              !Ipv4View(packet.data()).is_fragment();
  return udp ? std::optional(length) : std::nullopt;
}

void write_vxlan_outer(std::byte* out, const VxlanOuter& outer) noexcept {
  auto* udp = out + vxlan_outer_length(outer.to.ipv6) - 16;
  if (outer.to.ipv6) {
    store32(out, std::uint32_t{6} << 28 | std::uint32_t{outer.traffic_class} << 20);
    store32(out + 4, std::uint32_t{ip_protocol::udp} << 8 | hops);
    put_address(out + 8, outer.from);
    put_address(out + 24, outer.to);
  } else {
    store32(out, std::uint32_t{plain_ipv4} << 24 | std::uint32_t{outer.traffic_class} << 16);
    store32(out + 4, std::uint32_t{outer.id} << 16);
    store32(out + 8, std::uint32_t{hops} << 24 | std::uint32_t{ip_protocol::udp} << 16);
    put_address(out + 12, outer.from);
    put_address(out + 16, outer.to);
  }
  store16(udp, outer.source_port);
  store16(udp + 2, outer.destination_port);
  store32(udp + 4, 0);
  VxlanEditor(udp + 8).write(outer.vni);
}

void finish_vxlan_outer(std::span<std::byte> packet, std::uint16_t id) noexcept {
  auto* ip = packet.data();
  const bool ipv6 = load8(ip) >> 4 == 6;
  const std::size_t udp_at = vxlan_outer_length(ipv6) - 16;
  const auto length = static_cast<std::uint16_t>(packet.size() - udp_at);
  const UdpEditor udp(ip + udp_at);
  udp.set_length(length);
  if (ipv6) {
    Ipv6Editor(ip).set_payload_length(length);
    udp.set_checksum(0);
    udp.set_checksum(finish_udp(sum_pseudo_header6(ip + 8, ip_protocol::udp, length) +
                                sum_bytes(packet.subspan(udp_at))));
    return;
  }
  const Ipv4Editor header(ip);
  header.set_total_length(static_cast<std::uint16_t>(packet.size()));
  header.set_id(id);
  header.set_checksum(0);
  header.set_checksum(finish(sum_bytes(header.header())));
}

std::optional<VxlanMessage> unwrap_vxlan(std::span<std::byte> packet) noexcept {
  const auto headers = parse_headers(packet, Medium::ip);
  if (!headers || headers->protocol != ip_protocol::udp || headers->fragment) return std::nullopt;
  const auto udp =
      UdpView::parse(std::span<const std::byte>(packet).first(headers->end).subspan(headers->l4));
  if (!udp) return std::nullopt;
  const auto* payload = udp->payload().data();
  VxlanMessage out{.from = {},
                   .bytes = packet.subspan(static_cast<std::size_t>(payload - packet.data()),
                                           udp->payload().size()),
                   .traffic_class = traffic_class_of(packet, Medium::ip)};
  out.from.ipv6 = headers->ipv6;
  const auto from = headers->ipv6 ? std::span<const std::byte>(Ipv6View(packet.data()).source())
                                  : std::span<const std::byte>(Ipv4View(packet.data()).source());
  std::memcpy(out.from.bytes.data(), from.data(), from.size());
  return out;
}

}  // namespace warren::wire
