#include <sys/eventfd.h>

#include <algorithm>

#include <warren/loop.h>

#include "core/loop_backends.h"

namespace warren {

namespace {
// Enough for two streams' reads in flight and a burst being passed on. With 64 KiB each this bounds
// memory to 4 MiB, and more would only push packets out of the cache between their read and their
// write.
constexpr std::size_t pool_packets = 64;
}  // namespace

Timer::Timer(Loop& loop, std::function<void()> callback)
    : loop_(loop), callback_(std::move(callback)) {
  loop_.timers_.push_back(this);
}

Timer::~Timer() { std::erase(loop_.timers_, this); }

Result<std::unique_ptr<Loop>> Loop::create(Backend wanted) {
  std::string reason;
  std::unique_ptr<Loop> loop;
  if (wanted != Backend::epoll) {
    auto uring = create_uring_loop();
    if (uring) {
      loop = std::move(*uring);
    } else if (wanted == Backend::io_uring) {
      return tl::unexpected(uring.error());
    } else {
      reason = uring.error().message;
    }
  }
  if (!loop) {
    auto epoll = create_epoll_loop();
    if (!epoll) return epoll;
    loop = std::move(*epoll);
  }
  loop->fallback_reason_ = reason;
  if (auto ready = loop->init(); !ready) return tl::unexpected(ready.error());
  return loop;
}

Result<> Loop::init() {
  auto pool = Pool::create(pool_packets, Pool::super_packet_size);
  if (!pool) return tl::unexpected(pool.error());
  pool_ = std::move(*pool);
  wake_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_) return fail_errno("make an eventfd");
  auto watching = watch(wake_.get(), [this] {
    eventfd_t count;
    ::eventfd_read(wake_.get(), &count);
    stopped_ = true;
  });
  if (!watching) return tl::unexpected(watching.error());
  wake_watch_ = std::move(*watching);
  return {};
}

void Loop::close() noexcept {
  wake_watch_.reset();
  pool_.reset();
}

Result<> Loop::run() {
  stopped_ = false;
  renew_now();
  while (!stopped_) {
    if (auto done = round(next_deadline()); !done) return done;
    run_timers();
  }
  return {};
}

void Loop::stop() noexcept { ::eventfd_write(wake_.get(), 1); }

Clock::time_point Loop::next_deadline() const noexcept {
  auto earliest = Clock::time_point::max();
  for (const auto* timer : timers_) earliest = std::min(earliest, timer->when_);
  return earliest;
}

// A callback may set, make or destroy timers, so the search begins anew after each. Only timers due
// at `now_` run: one that sets itself to the past waits for the next round, and cannot starve the
// packets.
void Loop::run_timers() {
  const auto due = now_;
  for (std::size_t i = 0; i < timers_.size();) {
    auto* timer = timers_[i];
    if (timer->when_ > due) {
      ++i;
      continue;
    }
    timer->when_ = Clock::time_point::max();
    timer->callback_();
    i = (timer == (i < timers_.size() ? timers_[i] : nullptr)) ? i + 1 : 0;
  }
}

}  // namespace warren
