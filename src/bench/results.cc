#include "bench/results.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/row_summary.h"
#include "config/units.h"

namespace warren::bench {

using json = nlohmann::ordered_json;  // in the documented order

namespace {

json to_json(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }
json to_json(const std::optional<std::string>& value) {
  return value ? json(*value) : json(nullptr);
}

json to_json(const Summary& summary) {
  if (summary.runs.empty())
    return {{"median", nullptr}, {"min", nullptr}, {"max", nullptr}, {"runs", json::array()}};
  return {{"median", summary.median},
          {"min", summary.min},
          {"max", summary.max},
          {"runs", summary.runs}};
}
json to_json(const std::optional<Summary>& summary) {
  return summary ? to_json(*summary) : json(nullptr);
}

json to_json(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"cores_online", machine.cores_total},
          {"memory", machine.memory},
          {"virtual", machine.hypervisor},
          {"kernel", machine.kernel},
          {"distribution", machine.distribution},
          {"clock_source", machine.clock_source},
          {"frequency_governor", machine.governor},
          {"mitigations", machine.mitigations},
          {"congestion_available", machine.congestion_available},
          {"offloads", machine.offloads},
          {"busy_percent_before", machine.busy_percent},
          {"tools", machine.tools}};
}

json round_trip_json(const RowSummary& row) {
  if (!row.round_trip_us) return nullptr;
  return {{"median", to_json(row.round_trip_us)}, {"p99", to_json(row.round_trip_p99_us)}};
}

json delay_json(const RowSummary& row) {
  if (!row.delay_us) return nullptr;
  return {{"median", to_json(row.delay_us)}, {"p99", to_json(row.delay_p99_us)}};
}

json packets_json(const RowSummary& row) {
  if (!row.fragments) return nullptr;
  return {{"wire_out", to_json(row.wire_out)},
          {"wire_back", to_json(row.wire_back)},
          {"fragments", to_json(row.fragments)}};
}

json to_json(const RowSummary& row) {
  json raw = json::array();
  for (const auto& run : row.result->runs) raw.push_back(json::parse(run.raw, nullptr, false));
  return {{"scenario", row.scenario},
          {"row", row.result->row},
          {"workload", row.result->workload},
          {"direction", direction_name(row.result->direction)},
          {"gbps", to_json(row.gbps)},
          {"retransmits", to_json(row.retransmits)},
          {"packets_per_s", to_json(row.packets_per_s)},
          {"lost_percent", to_json(row.lost_percent)},
          {"jitter_ms", to_json(row.jitter_ms)},
          {"round_trip_us", round_trip_json(row)},
          {"added_us", to_json(row.added_us)},
          {"delay_us", delay_json(row)},
          {"packets", packets_json(row)},
          {"handshakes_per_s", to_json(row.handshakes_per_s)},
          {"handshakes_per_core_s", to_json(row.handshakes_per_core_s)},
          {"congestion", row.congestion.empty() ? json(nullptr) : json(row.congestion)},
          {"cpu_percent", {{"avg", to_json(row.cpu_avg)}, {"max", to_json(row.cpu_max)}}},
          {"system_cpu_percent", row.result->runs.empty() ? json(nullptr) : json(row.system_cpu)},
          {"system_softirq_percent",
           row.result->runs.empty() ? json(nullptr) : json(row.system_softirq)},
          {"cpu_per_gbps", to_json(row.cpu_per_gbps)},
          {"rss_mib",
           {{"avg", to_json(row.rss_avg_mib)},
            {"max", to_json(row.rss_max_mib)},
            {"largest", to_json(row.rss_largest_mib)}}},
          {"peers", row.peers},
          {"rss_kib_per_peer", to_json(row.rss_kib_per_peer)},
          {"ratio_to_loopback", to_json(row.ratio_to_loopback)},
          {"relative_to", row.relative_to.empty() ? json(nullptr) : json(row.relative_to)},
          {"ratio", to_json(row.ratio)},
          {"skipped", to_json(row.result->skipped)},
          {"failed", to_json(row.result->failed)},
          {"commands", row.result->commands},
          {"raw", std::move(raw)}};
}

json describe(const ScenarioResult& result) {
  json rows = json::object();
  for (const auto& row : result.scenario.rows) rows[row.name] = row.about;
  json workloads = json::object();
  for (const auto& workload : result.scenario.workloads)
    workloads[workload.name] = describe(workload);
  return {{"name", result.scenario.name},       {"title", result.scenario.title},
          {"file", result.scenario.path},       {"about", std::move(rows)},
          {"workloads", std::move(workloads)},  {"duration_s", result.timing.duration_s},
          {"warmup_s", result.timing.warmup_s}, {"repeat", result.timing.repeat},
          {"interrupted", result.interrupted}};
}

}  // namespace

std::string describe(const Workload& workload) {
  const auto& iperf3 = workload.iperf3;
  if (workload.tool == Workload::Tool::round_trip)
    return fmt::format("round trips of UDP datagrams of {} bytes, one at a time", *iperf3.length);
  if (workload.tool == Workload::Tool::ping)
    return fmt::format("echo requests of {} bytes, one every {}{}", *iperf3.length,
                       config::format_duration(workload.ping.interval),
                       workload.beside.empty() ? ", nothing else" : ", beside " + workload.beside);
  if (workload.tool == Workload::Tool::handshakes)
    return fmt::format("WireGuard handshakes with the server, by {} initiators",
                       workload.handshakes.initiators);
  if (workload.tool == Workload::Tool::stream) return describe_stream(workload) + ", one way";
  std::string text = fmt::format("iperf3 {}", iperf3.udp ? "UDP" : "TCP " + iperf3.congestion);
  if (iperf3.udp && iperf3.length) text += fmt::format(", datagrams of {} bytes", *iperf3.length);
  if (iperf3.udp && iperf3.rate == "0") text += ", unpaced";
  if (!iperf3.rate.empty() && iperf3.rate != "0") text += fmt::format(" at {}bit/s", iperf3.rate);
  return text + fmt::format(", {} stream{}", iperf3.streams, iperf3.streams == 1 ? "" : "s");
}

std::string to_json(const Session& session, bool for_report) {
  json root = {{"machine", to_json(session.machine)},
               {"date", session.date},
               {"command", session.command},
               {"scenarios", json::array()},
               {"results", json::array()}};
  for (const auto& scenario : session.scenarios) {
    root["scenarios"].push_back(describe(scenario));
    for (const auto& row : summarize_rows(scenario)) root["results"].push_back(to_json(row));
  }
  if (for_report) {
    root["flame_graphs"] = json::array();
    for (const auto& graph : session.flame_graphs)
      root["flame_graphs"].push_back({{"scenario", graph.scenario},
                                      {"row", graph.row},
                                      {"svg", graph.svg},
                                      {"note", graph.note}});
  }
  // What a program wrote may be no UTF-8; it is shown as well as it can be.
  return root.dump(for_report ? -1 : 2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace warren::bench
