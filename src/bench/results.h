// clang-format off
/// Everything that one `warren bench` measured, and its JSON (`warren bench --json`).
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

#include <string>
#include <vector>

#include "bench/machine.h"
#include "bench/runner.h"

namespace warren::bench {

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
