/// Packets that come out of a tunnel's socket unfinished.
///
/// Between network namespaces, and from virtual machines, the kernel leaves the inner packet of a
/// tunnel as its sender made it: with a checksum that is only begun, and super-packets whole. Its own
/// tunnels know that from the packet's metadata; a socket is given the bytes and told nothing. The
/// begun checksum, which is the pseudo-header's sum alone, gives such a packet away. Where a finished
/// packet has that sum by chance, finishing it changes nothing.
#pragma once

#include <span>

#include <warren/offload_header.h>

#include "core/port.h"

namespace warren::offload {

/// What is left to do to the packet. Super-packets get segments of a size that fits everywhere, since
/// theirs is not known; TCP does not mind.
[[nodiscard]] OffloadHeader find_unfinished(std::span<const std::byte> packet,
                                            Medium medium) noexcept;

}  // namespace warren::offload
