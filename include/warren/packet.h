/// Packets and the pools that they come from.
///
///     slot of a pool:  | PacketBuffer | headroom |  data (size bytes)  | tailroom |
///                                                ^ data()
///
/// A Packet owns one slot of a Pool and gives it back when it dies. Encapsulation prepends into the
/// headroom.
///
/// Threads: a Packet belongs to one thread at a time. Any thread may free packets; Pool::allocate
/// is for one thread at a time. So a reader thread can fill packets and a writer thread free them,
/// with no lock between them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <warren/offload_header.h>
#include <warren/result.h>

namespace warren {

class Pool;
class Batch;

namespace detail {
/// The head of a slot. Its own cache line, so that the packet's first bytes begin one.
struct alignas(64) PacketBuffer {
  Pool* pool;
  PacketBuffer* next;   ///< chain of buffers that were given back
  std::uint32_t begin;  ///< offset of the data from the end of this struct
  std::uint32_t size;
  std::uint32_t capacity;  ///< bytes after this struct
  OffloadHeader offload;

  [[nodiscard]] std::byte* storage() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(PacketBuffer) == 64);
}  // namespace detail

class Packet {
 public:
  /// No packet: what an exhausted pool returns.
  Packet() noexcept = default;
  Packet(Packet&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  Packet& operator=(Packet&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet() {
    if (buffer_ != nullptr) free();
  }

  [[nodiscard]] explicit operator bool() const noexcept { return buffer_ != nullptr; }
  [[nodiscard]] std::byte* data() const noexcept { return buffer_->storage() + buffer_->begin; }
  [[nodiscard]] std::size_t size() const noexcept { return buffer_->size; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data(), size()}; }
  [[nodiscard]] std::size_t headroom() const noexcept { return buffer_->begin; }
  [[nodiscard]] std::size_t tailroom() const noexcept {
    return buffer_->capacity - buffer_->begin - buffer_->size;
  }
  /// What remains to be done to the packet. Positions count from data(): prepend and trim_front do
  /// not move them.
  [[nodiscard]] OffloadHeader& offload() const noexcept { return buffer_->offload; }

  /// The new first bytes; the caller has checked headroom().
  std::byte* prepend(std::size_t count) noexcept {
    buffer_->begin -= static_cast<std::uint32_t>(count);
    buffer_->size += static_cast<std::uint32_t>(count);
    return data();
  }
  /// The caller has checked size().
  void trim_front(std::size_t count) noexcept {
    buffer_->begin += static_cast<std::uint32_t>(count);
    buffer_->size -= static_cast<std::uint32_t>(count);
  }
  /// Grows or shrinks at the end; the caller has checked size() + tailroom().
  void resize(std::size_t size) noexcept { buffer_->size = static_cast<std::uint32_t>(size); }

 private:
  friend class Pool;
  friend class Batch;
  explicit Packet(detail::PacketBuffer* buffer) noexcept : buffer_(buffer) {}
  void free() noexcept;

  detail::PacketBuffer* buffer_ = nullptr;
};

/// A fixed number of packet buffers of one size in one mapping. Pages that were never used take no
/// memory. Packets must not outlive their pool.
class Pool {
 public:
  static constexpr std::size_t default_headroom = 192;
  /// Holds the largest super-packet, 65535 bytes of IP behind an Ethernet header.
  static constexpr std::size_t super_packet_size = 65536 + 64;

  /// `count` packets that can grow to `packet_size` bytes behind `headroom` bytes.
  [[nodiscard]] static Result<std::unique_ptr<Pool>> create(
      std::size_t count, std::size_t packet_size, std::size_t headroom = default_headroom);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  /// An empty packet (size 0, offload cleared), or no packet where all are in use. Recently freed
  /// buffers come first: they are warm in the cache.
  [[nodiscard]] Packet allocate() noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t packet_size() const noexcept { return packet_size_; }

 private:
  friend class Packet;
  friend class Batch;
  Pool(std::byte* memory, std::size_t mapped, std::size_t count, std::size_t packet_size,
       std::size_t headroom);
  /// Takes back a chain linked by `next`, from any thread.
  void give_back(detail::PacketBuffer* first, detail::PacketBuffer* last) noexcept;
  void collect_returned() noexcept;

  std::byte* memory_;
  std::size_t mapped_;
  std::size_t count_;
  std::size_t packet_size_;
  std::size_t headroom_;
  std::size_t fresh_ = 0;  ///< slots from here on were never handed out
  std::size_t free_count_ = 0;
  std::unique_ptr<detail::PacketBuffer*[]> free_;
  alignas(64) std::atomic<detail::PacketBuffer*> returned_{nullptr};
};

}  // namespace warren
