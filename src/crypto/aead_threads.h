/// A batch of AEAD jobs shared between threads, so that one flow can use several cores.
///
/// Theory of operation. The thread that has a batch (the owner) publishes it and works on it itself,
/// a few jobs at a time; helpers take jobs from the same batch as long as there are some. The batch
/// is done when all of its jobs are, so the caller sees no difference: what comes after it, and with
/// that the order within a flow, is one thread's business as before.
///
///     cursor_ = | round (32) | jobs (16) | next job (16) |     take: compare-and-swap to next + chunk
///
///     owner     publish round 7 │ take 0..3 │ take 8..11 │ …            │ wait for those taken │ done
///     helper    ─────── awake ──┤ take 4..7 │ take 12..15│ … none left, watch for round 8
///
/// Nobody waits for a helper that sleeps: the owner takes what no one else has taken. A helper that
/// found no work for a while goes to sleep, and is woken for a batch that is worth it. Whoever takes
/// a job of a round knows that the round lasts until it is done; a helper that was late by a whole
/// round fails to take anything, because the cursor says which round it is.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "crypto/aead.h"

namespace warren::crypto {

class AeadThreads final : public Aead::Engine {
 public:
  /// The first engine is the owner's, each other one a helper's.
  explicit AeadThreads(std::vector<std::unique_ptr<Aead::Engine>> engines);
  AeadThreads(const AeadThreads&) = delete;
  AeadThreads& operator=(const AeadThreads&) = delete;
  ~AeadThreads() override;

  void seal(std::span<AeadJob> jobs) noexcept override { share(jobs, true); }
  void open(std::span<AeadJob> jobs) noexcept override { share(jobs, false); }

 private:
  static constexpr std::uint32_t chunk = 4;  ///< 1.5 us of work, against 0.1 us to take it

  void share(std::span<AeadJob> jobs, bool sealing) noexcept;
  /// Works until nothing of the round is left; false where there was nothing.
  bool work(Aead::Engine& engine) noexcept;
  void help(Aead::Engine& engine) noexcept;

  alignas(64) std::atomic<std::uint64_t> cursor_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};  ///< jobs of the round
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
  // Of the round; written before it is published.
  alignas(64) std::atomic<AeadJob*> jobs_{nullptr};
  std::atomic<bool> sealing_{false};

  std::vector<std::unique_ptr<Aead::Engine>> engines_;
  std::vector<std::thread> helpers_;
};

}  // namespace warren::crypto
