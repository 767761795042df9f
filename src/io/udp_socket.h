/// UDP sockets as the relay uses them, and sending that merges datagrams of one conversation.
#pragma once

#include <array>
#include <optional>
#include <span>

#include <warren/fd.h>
#include <warren/result.h>

#include "io/message_batch.h"
#include "io/socket_address.h"

namespace warren {

/// Bound to `local`, and receiving merged datagrams (UDP_GRO) where the kernel does that. With an
/// unspecified address it also reports where datagrams were sent to.
[[nodiscard]] Result<Fd> open_udp_listener(const SocketAddress& local);

/// Connected to `remote`. The data path calls this for new conversations: no exception, no text;
/// an invalid Fd with errno set where it fails.
[[nodiscard]] Fd open_udp_connection(const SocketAddress& remote) noexcept;

/// Sends datagrams; consecutive ones of one size to one place go to the kernel as one super-packet
/// (UDP_SEGMENT). Not thread-safe.
class UdpWriter {
 public:
  /// `datagram` and `payload` stay valid until flush(). The same place has the same `conversation`.
  void add(const void* conversation, const SendBatch::Datagram& datagram,
           std::span<const std::byte> payload) noexcept;
  /// The same of one that is a super-datagram already: segments of this size, the last may be
  /// shorter; at most 64 of them and 65000 bytes.
  void add_segments(const SendBatch::Datagram& datagram,
                    std::span<const std::byte> payload) noexcept;
  /// Sends what has gathered; tells what became of everything since the last call.
  SendBatch::Outcome flush() noexcept;

 private:
  static constexpr std::size_t max_size = 65000;  // of a super-packet, with room for headers

  [[nodiscard]] bool continues(const void* conversation, std::size_t size) const noexcept;
  void close_group() noexcept;

  SendBatch batch_;
  SendBatch::Outcome outcome_;
  // The group that is being gathered: all of its datagrams have the size of the first, except that
  // the last may be shorter.
  const void* conversation_ = nullptr;
  SendBatch::Datagram datagram_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::array<iovec, SendBatch::max_pieces> pieces_{};
};

/// Between two full batches: a moment for whoever receives them.
///
/// A program on this machine needs processor time to empty its socket, whose buffer usually holds
/// some ninety datagrams. Where cores are scarce, a relay that passes on all of a backlog in one go
/// fills it before the program runs again, and the work on the rest is lost.
void let_receivers_run() noexcept;

}  // namespace warren
