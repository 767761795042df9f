/// Waits for a device to become readable; can be ended by time and by another thread.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

class Waiter {
 public:
  using Timeout = std::chrono::milliseconds;
  static constexpr Timeout forever{-1};
  enum class Outcome { ready, timeout, interrupted };

  [[nodiscard]] static Result<Waiter> create();

  /// Until `fd` is readable (or broken: then a read tells), the time is up, or interrupt().
  [[nodiscard]] Outcome wait(int fd, Timeout timeout) noexcept { return wait_any(fd, -1, timeout); }
  /// The same for two descriptors: one thread that serves both directions.
  [[nodiscard]] Outcome wait_any(int fd, int other_fd, Timeout timeout) noexcept;
  /// From any thread or a signal handler: ends the wait that runs now and every one after it.
  void interrupt() noexcept;
  [[nodiscard]] bool interrupted() const noexcept {
    return interrupted_->load(std::memory_order_relaxed);
  }
  /// Waits may be made again.
  void reset() noexcept;

 private:
  explicit Waiter(Fd event)
      : event_(std::move(event)), interrupted_(std::make_unique<std::atomic<bool>>(false)) {}
  Fd event_;
  std::unique_ptr<std::atomic<bool>> interrupted_;
};

/// Tries a non-blocking `read` first and waits only where it finds nothing, so that a busy reader
/// makes one system call per packet.
template <class Status, class Read>
[[nodiscard]] Status read_or_wait(Waiter& waiter, int fd, Waiter::Timeout timeout, Read&& read) {
  for (;;) {
    if (waiter.interrupted()) return Status::interrupted;
    const Status status = read();
    if (status != Status::empty) return status;
    switch (waiter.wait(fd, timeout)) {
      case Waiter::Outcome::ready:
        break;
      case Waiter::Outcome::timeout:
        return Status::empty;
      case Waiter::Outcome::interrupted:
        return Status::interrupted;
    }
  }
}

}  // namespace warren
