/// The packets that the kernel may read into: an io_uring provided-buffer ring over a pool.
///
/// Belongs to one io_uring and one thread. Source: io_uring_register(2), IORING_REGISTER_PBUF_RING.
#pragma once

#include <liburing.h>

#include <array>
#include <cstdint>

#include <warren/packet.h>
#include <warren/result.h>

namespace warren {

class BufferRing {
 public:
  static constexpr unsigned short group = 0;

  [[nodiscard]] Result<> open(io_uring& ring);
  void close(io_uring& ring) noexcept;
  [[nodiscard]] bool is_open() const noexcept { return entries_ != nullptr; }
  [[nodiscard]] bool dry() const noexcept { return is_open() && empty_count_ == count; }

  /// The buffer that the kernel has filled, and its empty place.
  [[nodiscard]] Packet take(unsigned id) noexcept {
    empty_ids_[empty_count_++] = static_cast<std::uint8_t>(id);
    return std::move(lent_[id]);
  }
  void refill(Pool& pool) noexcept;

 private:
  // As many as the kernel reads in a row. More would only be pushed out of the cache before they are written.
  static constexpr unsigned count = 32;
  static constexpr std::size_t bytes = 4096;
  static_assert(count * sizeof(io_uring_buf) <= bytes);

  io_uring_buf_ring* entries_ = nullptr;
  std::array<Packet, count> lent_;  // by buffer id
  std::array<std::uint8_t, count> empty_ids_;
  unsigned empty_count_ = 0;
};

}  // namespace warren
