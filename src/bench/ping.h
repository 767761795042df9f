/// The workload `ping`: how long an echo request takes there and back, also while other traffic keeps
/// the way busy.
///
/// Theory of operation. Requests leave at a pace, whether or not earlier ones were answered. The
/// kernel of the server answers, and the kernel of the client notes when the answer arrives
/// (SO_TIMESTAMPNS), so no program has to be woken for what is timed but those that stand between:
///
///     client host                              server host
///     the time is taken
///     send ──▶ stack ── tunnel ── … ── tunnel ──▶ stack
///                                                   │ echo, in the kernel
///     timestamp ◀────── tunnel ── … ── tunnel ◀── stack
///
/// RoundTrip (round_trip.h) is finer where nobody else needs a processor: it polls, which takes a
/// whole core. This one sleeps between two requests.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "bench/round_trip.h"

namespace warren::bench {

struct PingPace {
  static constexpr std::chrono::nanoseconds least_interval = std::chrono::microseconds(100);
  std::chrono::nanoseconds interval = std::chrono::milliseconds(1);
};

class Ping {
 public:
  /// `length` is that of the data in a request, least RoundTrip::least_length. Waits until a first
  /// answer came back.
  [[nodiscard]] static Result<Ping> open(const Host& client, const std::string& address, int length,
                                         const PingPace& pace);

  /// Sends requests for that long.
  [[nodiscard]] Result<> run(std::chrono::nanoseconds duration);
  /// Waits for answers that are still under way, a second at most.
  [[nodiscard]] Result<> finish();

  /// Of all runs. What was not answered yet is lost.
  [[nodiscard]] RoundTripResult result() const;
  [[nodiscard]] std::string to_json() const;

 private:
  using Nanoseconds = std::int64_t;               // since 1970
  static constexpr std::size_t recent = 1 << 16;  // as many as there are sequence numbers

  Ping() : sent_at_(recent, 0) {}
  Result<> send();
  /// Takes what has arrived.
  Result<> receive();

  Fd socket_;
  bool ipv6_ = false;
  PingPace pace_;
  std::vector<char> request_;
  std::uint16_t sequence_ = 0;
  std::vector<Nanoseconds> sent_at_;  // by sequence number; 0: answered
  std::int64_t sent_ = 0;
  std::vector<std::uint32_t> times_ns_;
};

}  // namespace warren::bench
