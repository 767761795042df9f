/// Up to 64 packets that travel together, so that the cost of a call is shared.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <warren/counters.h>
#include <warren/packet.h>

namespace warren {

/// Owns its packets: what is left in it when it dies is freed. Move-only.
class Batch {
 public:
  static constexpr std::size_t capacity = 64;

  Batch() noexcept = default;
  Batch(Batch&& other) noexcept { take(other); }
  Batch& operator=(Batch&& other) noexcept {
    if (this != &other) {
      clear();
      take(other);
    }
    return *this;
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch() { clear(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity; }
  /// The caller has checked full().
  void push(Packet packet) noexcept { buffers_[size_++] = std::exchange(packet.buffer_, nullptr); }
  /// Takes packet `index` out, leaving a hole: the caller takes or drops every packet, then calls
  /// clear().
  [[nodiscard]] Packet take(std::size_t index) noexcept {
    return Packet{std::exchange(buffers_[index], nullptr)};
  }
  /// Fills the hole that take() left.
  void put(std::size_t index, Packet packet) noexcept {
    buffers_[index] = std::exchange(packet.buffer_, nullptr);
  }
  /// A view of packet `index`; the batch keeps it.
  [[nodiscard]] std::span<std::byte> bytes(std::size_t index) const noexcept {
    auto* buffer = buffers_[index];
    return {buffer->storage() + buffer->begin, buffer->size};
  }
  [[nodiscard]] OffloadHeader& offload(std::size_t index) const noexcept {
    return buffers_[index]->offload;
  }
  [[nodiscard]] std::size_t total_bytes() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < size_; ++i) sum += buffers_[i]->size;
    return sum;
  }

  /// Frees what is left. One atomic operation per run of packets of one pool.
  void clear() noexcept;
  /// Frees what is left and counts it under `reason`.
  void drop(Counters& counters, DropReason reason) noexcept {
    counters.drop(reason, size_);
    clear();
  }

 private:
  void take(Batch& other) noexcept {
    size_ = std::exchange(other.size_, 0);
    for (std::size_t i = 0; i < size_; ++i) buffers_[i] = other.buffers_[i];
  }

  std::size_t size_ = 0;
  std::array<detail::PacketBuffer*, capacity> buffers_;
};

}  // namespace warren
