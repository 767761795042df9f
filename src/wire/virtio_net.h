/// Whether an OffloadHeader fits the packet that it came with.
///
/// The header comes from a kernel, a guest or another program, and tells us where to read and
/// write: so everything that is followed is checked against the packet itself. header_length is
/// only a hint and never looked at. The rules are those of virtio 1.2, section 5.1.6, and of the
/// kernel's include/linux/virtio_net.h and GSO code.
#pragma once

#include <optional>
#include <span>

#include <warren/offload_header.h>

#include "wire/headers.h"

namespace warren::wire {

/// A UDP super-packet stands for at most this many datagrams (the kernel's UDP_MAX_SEGMENTS).
inline constexpr std::size_t max_udp_segments = 128;
/// The least payload of a TCP segment (the kernel's TCP_MIN_GSO_SIZE).
inline constexpr std::size_t min_tcp_segment = 8;

/// Nothing where all is well: then a pending checksum lies within the packet, and a super-packet
/// can be segmented. Otherwise the reason to drop the packet.
[[nodiscard]] std::optional<DropReason> check_offload(std::span<const std::byte> packet,
                                                      const OffloadHeader& offload,
                                                      Medium medium) noexcept;

/// The same for a packet whose headers were parsed already; null where they could not be.
[[nodiscard]] std::optional<DropReason> check_offload(std::span<const std::byte> packet,
                                                      const OffloadHeader& offload,
                                                      const Headers* headers) noexcept;

}  // namespace warren::wire
