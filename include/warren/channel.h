/// The channel: a bounded queue between a reader and a writer thread, around any mode.
///
///     reader thread:  while (in.read(pool, packet) == ReadStatus::packet)
///                       if (!channel.push(std::move(packet), in.buffered() > 0)) break;
///     writer thread:  while (channel.pop(packet)) {
///                       out.write(std::move(packet));
///                       if (channel.empty()) out.flush();
///                     }
///
/// Decouples the two at the price of a wake-up whenever the queue was empty: worth it where each
/// thread has a core of its own. Items are packets of a pool, or whatever moves without throwing.
/// Exactly one thread pushes and one pops; close() is for any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include <warren/ring.h>

namespace warren {

template <class T>
class Channel {
 public:
  explicit Channel(std::size_t capacity) : ring_(capacity) {}

  /// Waits while the channel is full. False, and the item is left, once it is closed. With `more`
  /// a sleeping reader is not woken yet: another push follows at once.
  bool push(T&& item, bool more = false) noexcept {
    for (;;) {
      if (closed_.load(std::memory_order_relaxed)) return false;
      // NOLINTNEXTLINE(bugprone-use-after-move): a full ring moves nothing
      if (ring_.push(std::move(item))) break;
      wake(reader_sleeps_);
      sleep_unless(writer_sleeps_, [&] { return ring_.size() < ring_.capacity(); });
    }
    if (!more) wake(reader_sleeps_);
    return true;
  }

  /// Waits while the channel is empty. False once it is closed and everything was taken out.
  bool pop(T& item) noexcept {
    while (!ring_.pop(item)) {
      wake(writer_sleeps_);
      if (closed_.load(std::memory_order_acquire)) return ring_.pop(item);
      sleep_unless(reader_sleeps_, [&] { return !ring_.empty(); });
    }
    // A full ring is drained by half before its writer is woken, so that each wake-up pays.
    if (ring_.size() <= ring_.capacity() / 2) wake(writer_sleeps_);
    return true;
  }

  [[nodiscard]] bool empty() const noexcept { return ring_.empty(); }

  /// Pushes fail from now on; what is inside can still be taken out.
  void close() noexcept {
    closed_.store(true, std::memory_order_release);
    wake(reader_sleeps_);
    wake(writer_sleeps_);
  }

 private:
  using Flag = std::atomic<std::uint32_t>;

  // The sleeper raises its flag and then looks at the ring once more; the other side changes the
  // ring and then looks at the flag. Both touch the flag by read-modify-write, so one of them comes
  // second and sees what the other did: the ring's change, or the flag.
  template <class Condition>
  void sleep_unless(Flag& flag, Condition&& condition) noexcept {
    (void)flag.exchange(1, std::memory_order_acq_rel);
    if (condition() || closed_.load(std::memory_order_acquire)) {
      flag.store(0, std::memory_order_relaxed);
      return;
    }
    flag.wait(1, std::memory_order_acquire);
  }
  static void wake(Flag& flag) noexcept {
    if (flag.fetch_add(0, std::memory_order_acq_rel) == 0) return;
    flag.store(0, std::memory_order_release);
    flag.notify_one();
  }

  Ring<T> ring_;
  alignas(64) std::atomic<bool> closed_{false};
  alignas(64) Flag reader_sleeps_{0};
  alignas(64) Flag writer_sleeps_{0};
};

}  // namespace warren
