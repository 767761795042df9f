// clang-format off
/// What is reported about a row, from all its runs, and the JSON of a whole session (`warren bench
/// --json`).
///
///     {"machine": {…},
///      "scenarios": [{"name": "tun", "duration_s": 5, "warmup_s": 1, "repeat": 5,
///                     "interrupted": false, "workloads": {"tcp": "iperf3 TCP cubic, …"}, …}],
///      "results": [{"scenario": "tun", "row": "pass-through", "workload": "tcp", "direction": "forward",
///                   "gbps": {"median": …, "min": …, "max": …, "runs": […]},    payload received; of ping that beside it; null if never measured
///                   "retransmits": {"median": …, …},                           TCP; null for UDP
///                   "packets_per_s": {…}, "lost_percent": {…}, "jitter_ms": {…},   UDP; null for TCP
///                   "round_trip_us": {"median": {…}, "p99": {…}}, "added_us": …,   round-trip and ping; null for others
///                   "delay_us": {"median": {…}, "p99": {…}},                   stream: one way; null for others
///                   "packets": {"wire_out": {…}, "wire_back": {…}, "fragments": {…}},   where the scenario counts them: on the wire for each echo request (ping) or datagram (stream, the way that it goes); made by all hosts
///                   "handshakes_per_s": {…}, "handshakes_per_core_s": {…},         handshakes: in all, per second of the programs' CPU
///                   "congestion": "cubic",                                     what the sender used
///                   "cpu_percent": {"avg": …, "max": …},                       the row's programs, of one core
///                   "system_cpu_percent": …, "system_softirq_percent": …,      the machine, of all cores
///                   "cpu_per_gbps": {…},                                       the machine: percent of one core for each Gbit/s
///                   "rss_mib": {"avg": …, "max": …, "largest": …},             the row's programs together; the largest of them
///                   "peers": 1, "rss_kib_per_peer": …,                         of the largest, against the row without so many peers
///                   "ratio_to_loopback": …, "relative_to": "sync", "ratio": …,
///                   "skipped": null, "failed": null,                           or why
///                   "commands": […], "raw": […]}]}                             raw: the tool's own JSON, in full
// clang-format on
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/machine.h"
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

/// A flame graph that was taken of a row, see flamegraph.h.
struct FlameGraph {
  std::string scenario;
  std::string row;
  std::string svg;   ///< empty if it failed
  std::string note;  ///< what it shows, or why it failed
};

/// Everything that one `warren bench` measured.
struct Session {
  Machine machine;
  std::string date;  ///< ISO 8601
  std::string command;
  std::vector<ScenarioResult> scenarios;
  std::vector<FlameGraph> flame_graphs;
};

/// "iperf3 TCP cubic, 1 stream".
[[nodiscard]] std::string describe(const Workload& workload);

/// The JSON above. `for_report` adds what the HTML report shows beyond it: the flame graphs.
[[nodiscard]] std::string to_json(const Session& session, bool for_report = false);

}  // namespace warren::bench
