/// Where the headers of a packet begin and end.
///
///     | Ethernet, tags | IPv4 + options, or IPv6 + extensions | TCP, UDP, ICMP | payload | padding
///     | 0                l3                                     l4               |         end
///     size
///                                                             '- l4_length ----'
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/port.h"

namespace warren::wire {

/// Offsets count from the first byte of the packet and lie within it, in the order of the drawing.
struct Headers {
  std::uint32_t l3 = 0;
  std::uint32_t l4 = 0;
  std::uint32_t end = 0;       ///< where the IP packet ends by its own length
  std::uint8_t l4_length = 0;  ///< 0: no whole transport header that is known
  std::uint8_t protocol = 0;   ///< of what stands at l4
  bool ipv6 = false;
  bool fragment = false;        ///< IPv4 fragment, or any IPv6 fragment header
  bool later_fragment = false;  ///< there is no transport header, since it is in the first one
  bool authenticated = false;   ///< by an IPv6 authentication header

  /// Headers in front of the transport payload.
  [[nodiscard]] std::uint32_t length() const noexcept { return l4 + l4_length; }
  [[nodiscard]] std::uint32_t payload_length() const noexcept { return end - length(); }
};

/// Nothing where the packet is neither IPv4 nor IPv6, or its IP headers are cut off or contradict
/// its length. Broken transport headers only leave l4_length 0: the packet can still be forwarded.
[[nodiscard]] std::optional<Headers> parse_headers(std::span<const std::byte> packet,
                                                   Medium medium) noexcept;

}  // namespace warren::wire
