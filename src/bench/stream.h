/// The workload `stream`: UDP at a pace, one way, as a video stream is; how long each datagram takes, by
/// how much that varies, and how many are lost.
///
/// Theory of operation. Both sockets belong to one thread, each in the network namespace of its host,
/// and both hosts have one clock. A datagram carries its number and the time at which it was sent;
/// the receiver's kernel notes when it arrived (SO_TIMESTAMPNS), so that nobody has to be woken for
/// what is timed but the programs that stand between:
///
///     sender ──▶ number, time │ stack ── tunnel ── … ── tunnel ── stack │ time of arrival ──▶ receiver
///
/// Each millisecond those leave that are due, as paced senders do it. What the way has no room for is
/// lost. The client always speaks first, with a datagram that is not counted, so that a translation of
/// addresses on the way knows where the server's are to go.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "bench/host.h"
#include "bench/iperf3.h"

namespace warren::bench {

struct StreamResult {
  std::int64_t sent = 0;
  std::int64_t received = 0;
  double gbps = 0;           ///< that arrived, over the time in which it was sent
  double packets_per_s = 0;  ///< that arrived
  double lost_percent = 0;
  double jitter_ms = 0;  ///< RFC 3550: smoothed difference of the delays of neighbours
  double median_us = 0;  ///< delay, one way
  double p99_us = 0;
};

class Stream {
 public:
  static constexpr int least_length = 16;  ///< of a datagram
  static constexpr int default_length = 1300;

  /// `address` is the server's, as the client reaches it. Waits until a first datagram has arrived.
  [[nodiscard]] static Result<Stream> open(const Host& client, const Host& server,
                                           const std::string& address, int length,
                                           std::uint64_t bits_per_s, Direction direction);

  /// Sends for that long.
  [[nodiscard]] Result<> run(std::chrono::nanoseconds duration);
  /// Waits for what is still under way, a second at most.
  [[nodiscard]] Result<> finish();
  /// Of all runs.
  [[nodiscard]] StreamResult result() const;
  [[nodiscard]] std::string to_json() const;

 private:
  using Nanoseconds = std::int64_t;

  Stream() = default;
  Result<> send();
  /// Takes what has arrived.
  Result<> receive();

  Fd sender_;
  Fd receiver_;
  std::vector<char> datagram_;
  std::uint64_t bits_per_s_ = 0;
  std::int64_t sent_ = 0;
  Nanoseconds spent_ = 0;  // sending
  std::vector<std::uint32_t> delays_ns_;
  double jitter_ns_ = 0;
};

}  // namespace warren::bench
