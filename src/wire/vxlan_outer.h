/// What stands in front of a frame on its way through a VXLAN: IP, UDP and the VXLAN header.
///
///     | IPv4 20 or IPv6 40 | UDP 8 | VXLAN 8 | Ethernet frame |
///
/// Over IPv4 there is no UDP checksum (RFC 7348, section 5); over IPv6 there is one (RFC 8200).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <warren/address.h>

#include "wire/bytes.h"

namespace warren::wire {

/// Where messages go, and what they come from; both addresses of one family.
struct VxlanOuter {
  IpAddress from;
  IpAddress to;
  std::uint16_t source_port;
  std::uint16_t destination_port;
  std::uint32_t vni;
  std::uint16_t id = 0;  ///< over IPv4
  std::uint8_t traffic_class = 0;
};

[[nodiscard]] constexpr std::size_t vxlan_outer_length(bool ipv6) noexcept {
  return (ipv6 ? std::size_t{40} : std::size_t{20}) + 8 + 8;
}
/// The length of such headers at the beginning of an IP packet, as far as they can be such: no IP
/// options or extensions, UDP, and a frame behind them. The lengths in them are not looked at.
[[nodiscard]] std::optional<std::size_t> find_vxlan_outer(
    std::span<const std::byte> packet) noexcept;

/// vxlan_outer_length() bytes. Lengths and checksums are finish_vxlan_outer()'s.
void write_vxlan_outer(std::byte* out, const VxlanOuter& outer) noexcept;
/// Lengths and checksums, and `id` over IPv4, of a whole packet that begins with such headers.
void finish_vxlan_outer(std::span<std::byte> packet, std::uint16_t id) noexcept;

/// A message that came in an IP packet.
struct VxlanMessage {
  IpAddress from;
  std::span<std::byte> bytes;  ///< from the VXLAN header on
  std::uint8_t traffic_class;  ///< of the outer header
};

/// Nothing where the packet is no whole UDP datagram, or its headers contradict its length.
[[nodiscard]] std::optional<VxlanMessage> unwrap_vxlan(std::span<std::byte> packet) noexcept;

}  // namespace warren::wire
