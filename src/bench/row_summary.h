/// What is reported about a row of a scenario, from all its runs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/runner.h"
#include "bench/statistics.h"

namespace warren::bench {

struct RowSummary {
  const RowResult* result = nullptr;
  std::string scenario;
  std::string relative_to;  ///< a row, or ""
  Summary gbps;             ///< without runs where nothing but small packets is sent
  std::optional<Summary> packets_per_s;
  std::optional<Summary> round_trip_us;  ///< of the runs' medians
  std::optional<Summary> round_trip_p99_us;
  std::optional<Summary> delay_us;  ///< one way, of the runs' medians
  std::optional<Summary> delay_p99_us;
  std::optional<Summary> wire_out;   ///< packets on the wire for each echo request or datagram
  std::optional<Summary> wire_back;  ///< likewise, towards the client
  std::optional<Summary> fragments;  ///< of IP packets, made by all hosts
  std::optional<Summary> handshakes_per_s;
  std::optional<Summary> handshakes_per_core_s;
  std::optional<Summary> retransmits;
  std::optional<Summary> lost_percent;
  std::optional<Summary> jitter_ms;
  std::string congestion;
  std::optional<double> cpu_avg;  ///< median over the runs; the maxima are maxima
  std::optional<double> cpu_max;
  std::optional<double> rss_avg_mib;
  std::optional<double> rss_max_mib;
  std::optional<double> rss_largest_mib;
  int peers = 1;
  /// Of the largest program, for each peer more than `Row::plain` has.
  std::optional<double> rss_kib_per_peer;
  std::optional<Summary> cpu_per_gbps;
  double system_cpu = 0;
  double system_softirq = 0;
  /// Same workload and direction; the median over the rounds of both rows' ratio in that round. Of
  /// rates, of round trips, or of handshakes per second.
  std::optional<double> ratio_to_loopback;
  std::optional<double> ratio;     ///< likewise, to `relative_to`
  std::optional<double> added_us;  ///< likewise, the difference of the round trips

  /// What the workload is about; without runs if it was never measured.
  [[nodiscard]] const Summary& main() const {
    return round_trip_us ? *round_trip_us : handshakes_per_s ? *handshakes_per_s : gbps;
  }
  [[nodiscard]] bool measured() const { return !main().runs.empty(); }
};

/// One summary per row, workload and direction, in order; they point into `result`.
[[nodiscard]] std::vector<RowSummary> summarize_rows(const ScenarioResult& result);

}  // namespace warren::bench
