/// A bounded queue between one writer thread and one reader thread, without locks.
///
/// Theory of operation. Two indices run freely and are reduced by a mask. Each side owns one of
/// them, and keeps a copy of the other that it renews only when the ring looks full (or empty), so
/// that in steady flow the two threads touch each other's cache lines once per lap and not once per
/// item.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

namespace warren {

template <class T>
class Ring {
 public:
  /// Holds at least `capacity` items; rounded up to a power of two.
  explicit Ring(std::size_t capacity)
      : mask_(std::bit_ceil(capacity < 2 ? std::size_t{2} : capacity) - 1),
        slots_(std::make_unique<T[]>(mask_ + 1)) {}

  /// Writer's side. False where the ring is full: the item is left as it was.
  [[nodiscard]] bool push(T&& item) noexcept {
    const auto tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_copy_ > mask_) {
      head_copy_ = head_.load(std::memory_order_acquire);
      if (tail - head_copy_ > mask_) return false;
    }
    slots_[tail & mask_] = std::move(item);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// Reader's side. False where the ring is empty.
  [[nodiscard]] bool pop(T& item) noexcept {
    const auto head = head_.load(std::memory_order_relaxed);
    if (head == tail_copy_) {
      tail_copy_ = tail_.load(std::memory_order_acquire);
      if (head == tail_copy_) return false;
    }
    item = std::move(slots_[head & mask_]);
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  /// Exact for the reader and the writer, a snapshot for others.
  [[nodiscard]] std::size_t size() const noexcept {
    const auto head = head_.load(std::memory_order_acquire);
    return tail_.load(std::memory_order_acquire) - head;
  }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  std::size_t mask_;
  std::unique_ptr<T[]> slots_;
  alignas(64) std::atomic<std::size_t> tail_{0};  // the writer's line
  std::size_t head_copy_ = 0;
  alignas(64) std::atomic<std::size_t> head_{0};  // the reader's line
  std::size_t tail_copy_ = 0;
};

}  // namespace warren
