/// A bad line: loses, delays, reorders and repeats packets, and lets through no more than a rate.
///
/// Theory of operation. Every packet gets a departure time and waits in a heap that is ordered by
/// it:
///
///     arrival -> lost? -> duplicate? -> line busy until (rate) -> + delay ± jitter -> heap ->
///     departure
///
/// The line is a single server: a packet starts when the one before has been sent, and the queue in
/// front of it is bounded, as a router's is. Jitter alone never reorders: a packet does not
/// overtake an earlier one unless it was drawn to be reordered, in which case it skips the delay.
/// All randomness comes from one seeded generator, so a run repeats exactly where the arrivals do.
///
/// Knows no clock and no thread: time is a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include <warren/batch.h>
#include <warren/counters.h>
#include <warren/loop.h>
#include <warren/result.h>

namespace warren {

struct ImpairmentConfig {
  double loss = 0;       ///< probability, 0 to 1
  double duplicate = 0;  ///< probability
  double reorder = 0;    ///< probability that a packet skips the delay
  std::chrono::nanoseconds delay{0};
  std::chrono::nanoseconds jitter{0};  ///< the delay varies evenly by up to this much, both ways
  std::uint64_t rate = 0;              ///< bits per second; 0: no limit
  std::uint32_t queue = 1000;          ///< packets that may wait for the line or in it
  std::uint64_t seed = 1;

  friend bool operator==(const ImpairmentConfig&, const ImpairmentConfig&) = default;
};

/// One direction of the line.
class Impairment {
 public:
  /// The largest packet that it carries.
  static constexpr std::size_t max_packet_size = 9216;

  [[nodiscard]] static Result<std::unique_ptr<Impairment>> create(const ImpairmentConfig& config);

  void reconfigure(const ImpairmentConfig& config);
  /// Takes every packet. They are copied into buffers of its own: what waits here must not starve
  /// those who read.
  void enqueue(Batch& batch, Clock::time_point now, Counters& counters) noexcept;
  /// Moves packets that are due into `batch`, until it is full.
  void dequeue(Batch& batch, Clock::time_point now) noexcept;
  /// When the next packet is due; the far future where none waits.
  [[nodiscard]] Clock::time_point next_departure() const noexcept {
    return heap_.empty() ? Clock::time_point::max() : heap_.front().departure;
  }

 private:
  struct Waiting {
    Clock::time_point departure;
    std::uint64_t number;  ///< keeps packets of one time in their order
    Packet packet;
  };
  // For the heap functions of <algorithm>, which put the greatest first.
  static bool later(const Waiting& a, const Waiting& b) noexcept {
    return a.departure != b.departure ? a.departure > b.departure : a.number > b.number;
  }

  Impairment(const ImpairmentConfig& config, std::unique_ptr<Pool> pool);
  [[nodiscard]] bool chance(double probability) noexcept;
  void admit(std::span<const std::byte> bytes, Clock::time_point now, Counters& counters) noexcept;
  [[nodiscard]] Clock::time_point departure_time(std::size_t size, Clock::time_point now) noexcept;

  ImpairmentConfig config_;
  std::unique_ptr<Pool> pool_;
  std::mt19937_64 random_;
  std::vector<Waiting> heap_;
  std::uint64_t next_number_ = 0;
  Clock::time_point line_free_{};
  Clock::time_point last_in_order_{};
};

}  // namespace warren
