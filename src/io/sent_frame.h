/// What the kernel makes of a datagram: the frame that it hands to a device, headers and all.
///
/// Theory of operation. A socket that asks for the time at which a datagram enters the queue of its
/// device gets a copy of the frame with it, on its error queue, while it sends
/// (Documentation/networking/timestamping.rst, SOF_TIMESTAMPING_TX_SCHED). The time is of no interest
/// here; the copy tells what routes, rules, policies, neighbours and translations come to for this
/// datagram, without asking for any of them, and on every kind of device.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include <warren/result.h>

namespace warren {

struct SentFrame {
  std::span<const std::byte> bytes;  ///< from the link-layer header on
  int device = 0;                    ///< its index
};

/// Copies may be asked for (SendBatch::Datagram::copy) of what this raw socket sends.
[[nodiscard]] Result<> enable_sent_frames(int fd, bool ipv6);

/// The oldest copy on the error queue; a frame longer than `buffer` is cut. Nothing where the queue
/// is empty. What else is on the queue is thrown away.
[[nodiscard]] std::optional<SentFrame> read_sent_frame(int fd,
                                                       std::span<std::byte> buffer) noexcept;

}  // namespace warren
