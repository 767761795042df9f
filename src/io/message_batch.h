/// Many datagrams in one system call: recvmmsg(2) and sendmmsg(2) with their arrays.
///
/// Both own all their memory from the start. Not thread-safe.
#pragma once

#include <netpacket/packet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "io/socket_address.h"

namespace warren {

/// What one recvmmsg() took.
class ReceiveBatch {
 public:
  static constexpr std::size_t capacity = 64;

  ReceiveBatch();

  /// Receives at most `limit` datagrams without waiting. Their number; 0 where there are none, with
  /// errno set.
  [[nodiscard]] std::size_t receive(int fd, std::size_t limit = capacity) noexcept;

  [[nodiscard]] std::span<std::byte> data(std::size_t i) noexcept {
    return {buffer_.get() + i * stride, messages_[i].msg_len};
  }
  [[nodiscard]] SocketAddress sender(std::size_t i) const noexcept {
    return SocketAddress::from(names_[i]);
  }
  /// The local address that the datagram was sent to, where the socket reports it (IP_PKTINFO,
  /// IPV6_RECVPKTINFO).
  [[nodiscard]] std::optional<IpAddress> local(std::size_t i) noexcept;
  /// With UDP_GRO: the size of the datagrams that were merged; 0 for a single one.
  [[nodiscard]] std::size_t segment_size(std::size_t i) noexcept;
  /// The traffic class that it came with, where the socket reports it (IP_RECVTOS,
  /// IPV6_RECVTCLASS); else 0. Those that were merged have the same.
  [[nodiscard]] std::uint8_t traffic_class(std::size_t i) noexcept;

 private:
  // Room for any datagram, and not a power of two, so that their beginnings do not share cache
  // sets.
  static constexpr std::size_t stride = 65536 + 2112;
  static constexpr std::size_t control_size = 128;

  template <class T>
  [[nodiscard]] std::optional<T> control(std::size_t i, int level, int type) noexcept;

  std::unique_ptr<std::byte[]> buffer_;  // not initialised: pages that are not used cost nothing
  std::array<mmsghdr, capacity> messages_{};
  std::array<iovec, capacity> pieces_{};
  std::array<sockaddr_storage, capacity> names_{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, control_size> bytes;
  };
  std::array<Control, capacity> controls_{};
};

/// Datagrams that wait to be sent, each made of pieces that stay where they are until flush().
class SendBatch {
 public:
  static constexpr std::size_t capacity = 64;
  static constexpr std::size_t max_pieces = 64;  ///< of one datagram; what UDP_SEGMENT takes
  static constexpr std::size_t scratch_size = 96;

  /// Of one datagram that is being put together.
  struct Datagram {
    int fd = -1;
    const SocketAddress* to = nullptr;  ///< null: to where the socket is connected
    const IpAddress* from = nullptr;    ///< null: the kernel chooses
    /// UDP_SEGMENT: each piece is one datagram of this size or several, only the last of all may be
    /// shorter. 0: the pieces are one datagram.
    std::size_t segment_size = 0;
    /// Of the IP header; 0: the socket's own.
    std::uint8_t traffic_class = 0;
    /// Asks for a copy of what the kernel makes of it (sent_frame.h).
    bool copy = false;
    /// Of a packet socket, in place of `to`: the device that the frame is for.
    const sockaddr_ll* device = nullptr;
    /// Of a packet socket: the headers in front that outcomes do not count.
    std::size_t headers = 0;
  };

  /// What became of datagrams; where segmented, each segment counts.
  struct Outcome {
    std::uint64_t sent = 0;
    std::uint64_t bytes = 0;
    std::uint64_t too_big = 0;
    std::uint64_t failed = 0;
    std::uint64_t frames = 0;          ///< those of `sent` that had a `device`
    std::uint64_t frames_refused = 0;  ///< those of `too_big` and `failed` that had one

    Outcome& operator+=(const Outcome& other) noexcept {
      sent += other.sent;
      bytes += other.bytes;
      too_big += other.too_big;
      failed += other.failed;
      frames += other.frames;
      frames_refused += other.frames_refused;
      return *this;
    }
  };

  /// Whether a datagram of `pieces` still fits.
  [[nodiscard]] bool fits(std::size_t pieces) const noexcept {
    return size_ < capacity && used_pieces_ + pieces <= pieces_.size();
  }
  /// The caller has checked fits().
  void add(const Datagram& datagram, std::span<const iovec> pieces) noexcept;
  /// `scratch_size` bytes that live until flush(), for headers. The caller has checked fits().
  [[nodiscard]] std::byte* scratch() noexcept { return scratch_[size_].data(); }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Sends everything; what the kernel refuses is dropped and counted.
  Outcome flush() noexcept;

 private:
  struct alignas(cmsghdr) Control {
    std::array<std::byte, 128> bytes;
  };
  [[nodiscard]] std::uint64_t count(std::size_t i) const noexcept;
  void handle_refusal(std::size_t i, int error, Outcome& outcome) noexcept;
  void send_segments(std::size_t i, Outcome& outcome) noexcept;

  std::size_t size_ = 0;
  std::size_t used_pieces_ = 0;
  std::array<mmsghdr, capacity> messages_{};
  std::array<int, capacity> fds_{};
  std::array<std::size_t, capacity> segment_sizes_{};
  std::array<std::size_t, capacity> headers_{};
  std::array<iovec, capacity * 4> pieces_{};
  static_assert(capacity * 4 >= max_pieces);
  std::array<sockaddr_storage, capacity> names_{};
  std::array<Control, capacity> controls_{};
  std::array<std::array<std::byte, scratch_size>, capacity> scratch_{};
};

}  // namespace warren
