/// "Fragmentation needed" (RFC 792, RFC 1191) and "packet too big" (RFC 4443), said on an L2 segment.
///
/// There is no router on a segment who could say that a frame is too large for the tunnel at its end;
/// so the tunnel's end says it, in the name of the host for whom the frame is: as the kernel's VXLAN
/// does behind a bridge. Whoever is told looks into the quoted packet, not at who tells.
///
///     frame:    | A ▸ B | IP a ▸ b | …                     |
///     answer:   | B ▸ A | IP b ▸ a | ICMP, MTU | IP a ▸ b … |     tags as in the frame
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <warren/packet.h>

#include "wire/headers.h"

namespace warren::overlay {

/// The most that an answer quotes, behind an IPv4 header (RFC 1812: 576 bytes in all) or an IPv6
/// header (1280 bytes).
[[nodiscard]] constexpr std::size_t max_quote(bool ipv6) noexcept {
  return ipv6 ? std::size_t{1280 - 40 - 8} : std::size_t{576 - 20 - 8};
}

/// Whether the sender of this frame is to be told that IP packets of `mtu` bytes fit: it forbids
/// fragments, is a single host that asks a single host, and can go as low.
[[nodiscard]] bool wants_answer(std::span<const std::byte> frame, const wire::Headers& headers,
                                std::size_t mtu) noexcept;

/// Makes the answer out of the frame's first bytes, at least those of headers.l3 + max_quote(), or
/// all; `answer` holds them and has default headroom.
void write_answer(Packet& answer, const wire::Headers& headers, std::size_t mtu) noexcept;

}  // namespace warren::overlay
