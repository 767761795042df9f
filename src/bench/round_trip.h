/// The workload `round-trip`: how long a small UDP datagram takes there and back.
///
/// Theory of operation. Both sockets belong to one thread, each in the network namespace of its
/// host. The thread sends from the client, polls the server's socket until the datagram is there,
/// sends it back, and polls the client's:
///
///     client host                         server host
///     send ──▶ stack ── wire ── stack ──▶ receive
///                                            │ same thread, at once
///     receive ◀── stack ── wire ── stack ◀── send
///
/// So what is timed is the way of the datagram through both stacks and whatever stands between them,
/// and nothing of how soon a scheduler wakes a sleeping program, which takes longer than all the
/// rest and differs from run to run. A difference of two rows is good to a fraction of a
/// microsecond.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "bench/host.h"

namespace warren::bench {

struct RoundTripResult {
  double median_us = 0;
  double p99_us = 0;
  std::int64_t answered = 0;
  std::int64_t lost = 0;
};
[[nodiscard]] RoundTripResult summarize_round_trips(std::vector<std::uint32_t> times_ns,
                                                    std::int64_t lost);
[[nodiscard]] std::string to_json(const RoundTripResult& result, std::size_t length);

class RoundTrip {
 public:
  static constexpr int least_length = 8;  ///< of a datagram, which carries its number
  static constexpr int default_length = 64;

  /// `address` is the server's, as the client reaches it. Waits until a first datagram came back.
  [[nodiscard]] static Result<RoundTrip> open(const Host& client, const Host& server,
                                              const std::string& address, int length);

  /// Sends one datagram after the other for that long. One that does not come back within a tenth
  /// of a second is lost. Errors are those of the sockets.
  [[nodiscard]] Result<> run(std::chrono::nanoseconds duration);
  /// Of all runs.
  [[nodiscard]] RoundTripResult result() const;
  [[nodiscard]] std::string to_json() const;

 private:
  RoundTrip() = default;
  /// False if the datagram was lost.
  Result<bool> once();

  Fd client_;
  Fd server_;
  std::vector<char> datagram_;
  std::uint64_t number_ = 0;
  std::vector<std::uint32_t> times_ns_;
  std::int64_t lost_ = 0;
};

}  // namespace warren::bench
