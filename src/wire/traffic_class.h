/// The traffic class of IP packets, and what tunnels do with its congestion marks.
///
///     | DSCP 6 | ECN 2 |      IPv4's TOS octet, IPv6's traffic class (RFC 2474, RFC 3168)
///
/// A tunnel copies the ECN bits outwards, so that routers on its way may mark in place of dropping,
/// and brings the marks back inwards where it ends (RFC 6040).
#pragma once

#include <cstdint>
#include <span>

#include "core/port.h"

namespace warren::wire {

namespace ecn {
inline constexpr std::uint8_t mask = 3;
inline constexpr std::uint8_t not_capable = 0;
inline constexpr std::uint8_t capable1 = 1;
inline constexpr std::uint8_t capable0 = 2;
inline constexpr std::uint8_t congested = 3;
}  // namespace ecn

/// 0 where the packet is neither IPv4 nor IPv6. Reads no more than that needs: for packets of any
/// length.
[[nodiscard]] std::uint8_t traffic_class_of(std::span<const std::byte> packet,
                                            Medium medium) noexcept;

/// Where a tunnel ends: brings the mark of the outer header into the packet, its checksum included
/// (RFC 6040, section 4.2). False where the packet is to be dropped: it met congestion, and its
/// sender would not understand the mark.
[[nodiscard]] bool decapsulate_ecn(std::span<std::byte> packet, Medium medium,
                                   std::uint8_t outer) noexcept;

}  // namespace warren::wire
