#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

#include <warren/wait.h>

namespace warren {

Result<Waiter> Waiter::create() {
  Fd event{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  if (!event) return fail_errno("make an eventfd");
  return Waiter{std::move(event)};
}

Waiter::Outcome Waiter::wait_any(int fd, int other_fd, Timeout timeout) noexcept {
  // poll() passes over negative descriptors.
  std::array<pollfd, 3> polled{pollfd{event_.get(), POLLIN, 0}, pollfd{fd, POLLIN, 0},
                               pollfd{other_fd, POLLIN, 0}};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    int milliseconds = -1;
    if (timeout >= Timeout::zero()) {
      const auto left = std::chrono::ceil<Timeout>(deadline - std::chrono::steady_clock::now());
      milliseconds = static_cast<int>(std::max(left, Timeout::zero()).count());
    }
    const int ready = ::poll(polled.data(), polled.size(), milliseconds);
    if (polled[0].revents != 0 || interrupted()) return Outcome::interrupted;
    if (ready > 0) return Outcome::ready;
    if (ready == 0) return Outcome::timeout;
    if (errno != EINTR) return Outcome::ready;  // the read that follows names the error
  }
}

void Waiter::interrupt() noexcept {
  interrupted_->store(true, std::memory_order_relaxed);
  ::eventfd_write(event_.get(), 1);
}

void Waiter::reset() noexcept {
  eventfd_t count;
  ::eventfd_read(event_.get(), &count);
  interrupted_->store(false, std::memory_order_relaxed);
}

}  // namespace warren
