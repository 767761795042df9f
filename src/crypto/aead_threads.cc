#include "crypto/aead_threads.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

namespace warren::crypto {

namespace {

// Waking a sleeper costs some 3 us: less than this is done sooner alone.
constexpr std::size_t worth_sharing = 16;
// Some 50 us: while packets flow, the next batch comes sooner.
constexpr int patience = 1000;

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Signals are for the threads that know of them.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

constexpr std::size_t max_jobs = 65535;

constexpr std::uint32_t next_of(std::uint64_t cursor) noexcept { return cursor & 0xffff; }
constexpr std::uint32_t count_of(std::uint64_t cursor) noexcept { return cursor >> 16 & 0xffff; }
constexpr bool is_used_up(std::uint64_t cursor) noexcept {
  return next_of(cursor) >= count_of(cursor);
}
constexpr std::uint64_t next_round(std::uint64_t cursor, std::size_t count) noexcept {
  return ((cursor >> 32) + 1) << 32 | count << 16;
}

}  // namespace

AeadThreads::AeadThreads(std::vector<std::unique_ptr<Aead::Engine>> engines)
    : engines_(std::move(engines)) {
  const SignalsBlocked blocked;
  for (std::size_t i = 1; i < engines_.size(); ++i)
    helpers_.emplace_back([this, engine = engines_[i].get()] { help(*engine); });
}

AeadThreads::~AeadThreads() {
  stopping_ = true;
  cursor_ = next_round(cursor_, 0);
  cursor_.notify_all();
  for (auto& helper : helpers_) helper.join();
}

void AeadThreads::share(std::span<AeadJob> jobs, bool sealing) noexcept {
  for (; jobs.size() > max_jobs; jobs = jobs.subspan(max_jobs))
    share(jobs.first(max_jobs), sealing);
  if (jobs.size() < worth_sharing)
    return sealing ? engines_[0]->seal(jobs) : engines_[0]->open(jobs);
  done_.store(0, std::memory_order_relaxed);
  jobs_.store(jobs.data(), std::memory_order_relaxed);
  sealing_.store(sealing, std::memory_order_relaxed);
  cursor_.store(next_round(cursor_.load(std::memory_order_relaxed), jobs.size()));
  if (sleepers_.load() != 0) cursor_.notify_all();
  work(*engines_[0]);
  while (done_.load(std::memory_order_acquire) != jobs.size()) pause();
}

bool AeadThreads::work(Aead::Engine& engine) noexcept {
  bool found = false;
  auto cursor = cursor_.load(std::memory_order_acquire);
  while (!is_used_up(cursor)) {
    const auto next = next_of(cursor);
    const auto taken = std::min(chunk, count_of(cursor) - next);
    auto* const jobs = jobs_.load(std::memory_order_relaxed);
    const bool sealing = sealing_.load(std::memory_order_relaxed);
    // Where this succeeds, what was just read is of this round: it lasts until the job is done.
    if (!cursor_.compare_exchange_weak(cursor, cursor + taken, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
      continue;
    const std::span part(jobs + next, taken);
    sealing ? engine.seal(part) : engine.open(part);
    done_.fetch_add(taken, std::memory_order_release);
    found = true;
    cursor = cursor_.load(std::memory_order_acquire);
  }
  return found;
}

void AeadThreads::help(Aead::Engine& engine) noexcept {
  for (int idle = 0; !stopping_.load(std::memory_order_relaxed);) {
    if (work(engine)) {
      idle = 0;
    } else if (++idle < patience) {
      pause();
    } else {
      // Announced before the last look: the owner publishes, and then looks for sleepers.
      sleepers_.fetch_add(1);
      const auto seen = cursor_.load();
      if (is_used_up(seen) && !stopping_.load()) cursor_.wait(seen);
      sleepers_.fetch_sub(1);
      idle = 0;
    }
  }
}

}  // namespace warren::crypto
