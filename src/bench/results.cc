#include "bench/results.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "config/units.h"

namespace warren::bench {

using json = nlohmann::ordered_json;  // in the documented order

namespace {

// The values that `pick` finds in the runs; those without one are left out.
template <class Pick>
std::vector<double> collect(const RowResult& result, Pick pick) {
  std::vector<double> values;
  for (const auto& run : result.runs) {
    const auto value = pick(run);
    if (value) values.push_back(static_cast<double>(*value));
  }
  return values;
}

template <class Pick>
std::optional<Summary> summary_of(const RowResult& result, Pick pick) {
  auto values = collect(result, pick);
  if (values.empty()) return std::nullopt;
  return summarize(std::move(values));
}

std::optional<double> median_of(const std::optional<Summary>& summary) {
  return summary ? std::optional(summary->median) : std::nullopt;
}
std::optional<double> max_of(const std::optional<Summary>& summary) {
  return summary ? std::optional(summary->max) : std::nullopt;
}

std::optional<Summary> of_handshakes(const RowResult& result, double HandshakeResult::* pick) {
  return summary_of(result, [pick](const auto& m) -> std::optional<double> {
    if (!m.handshakes || (*m.handshakes).*pick <= 0) return std::nullopt;
    return (*m.handshakes).*pick;
  });
}

// For each echo request of a ping, for each datagram of a stream on the way that it goes.
std::optional<double> wire_packets(const Measurement& measurement, Direction way,
                                   Direction direction) {
  if (!measurement.packets) return std::nullopt;
  std::int64_t sent = 0;
  if (const auto& echoes = measurement.round_trip; echoes && !measurement.traffic)
    sent = echoes->answered + echoes->lost;
  else if (measurement.stream && way == direction)
    sent = measurement.stream->sent;
  if (sent == 0) return std::nullopt;
  const auto& packets = *measurement.packets;
  return static_cast<double>(way == Direction::forward ? packets.out : packets.back) /
         static_cast<double>(sent);
}

std::optional<double> cpu_per_gbps(const Measurement& measurement) {
  if (!measurement.traffic || measurement.traffic->gbps <= 0) return std::nullopt;
  return 100 * measurement.usage.system_cores / measurement.traffic->gbps;
}

RowSummary summarize_row(const RowResult& result) {
  RowSummary row;
  row.result = &result;
  const auto always = [](auto pick) {
    return [pick](const Measurement& m) { return std::optional<double>(pick(m)); };
  };
  const auto of_traffic = [&](auto pick) {
    return summary_of(result, [pick](const auto& m) {
      return m.traffic ? std::optional<double>((*m.traffic).*pick) : std::nullopt;
    });
  };
  const auto if_told = [&](auto pick) {
    return summary_of(
        result, [pick](const auto& m) { return m.traffic ? (*m.traffic).*pick : std::nullopt; });
  };
  row.gbps = of_traffic(&Iperf3Result::gbps).value_or(Summary{});
  row.packets_per_s = if_told(&Iperf3Result::packets_per_s);
  row.handshakes_per_s = of_handshakes(result, &HandshakeResult::per_s);
  row.handshakes_per_core_s = of_handshakes(result, &HandshakeResult::per_core_s);
  row.cpu_per_gbps = summary_of(result, [](const auto& m) { return cpu_per_gbps(m); });
  const auto of_round_trip = [&](auto pick) {
    return summary_of(result, [pick](const auto& m) {
      return m.round_trip ? std::optional((*m.round_trip).*pick) : std::nullopt;
    });
  };
  row.round_trip_us = of_round_trip(&RoundTripResult::median_us);
  row.round_trip_p99_us = of_round_trip(&RoundTripResult::p99_us);
  const auto of_stream = [&](auto pick) {
    return summary_of(result, [pick](const auto& m) {
      return m.stream ? std::optional((*m.stream).*pick) : std::nullopt;
    });
  };
  row.delay_us = of_stream(&StreamResult::median_us);
  row.delay_p99_us = of_stream(&StreamResult::p99_us);
  const auto of_wire = [&](Direction way) {
    return summary_of(result,
                      [&, way](const auto& m) { return wire_packets(m, way, result.direction); });
  };
  row.wire_out = of_wire(Direction::forward);
  row.wire_back = of_wire(Direction::reverse);
  row.fragments = summary_of(result, [](const auto& m) {
    return m.packets ? std::optional(m.packets->fragments) : std::nullopt;
  });
  row.retransmits = if_told(&Iperf3Result::retransmits);
  row.lost_percent = if_told(&Iperf3Result::lost_percent);
  row.jitter_ms = if_told(&Iperf3Result::jitter_ms);
  row.cpu_avg = median_of(summary_of(result, [](const auto& m) { return m.usage.cpu_avg; }));
  row.cpu_max = max_of(summary_of(result, [](const auto& m) { return m.usage.cpu_max; }));
  row.rss_avg_mib =
      median_of(summary_of(result, [](const auto& m) { return m.usage.rss_avg_mib; }));
  row.rss_max_mib = max_of(summary_of(result, [](const auto& m) { return m.usage.rss_max_mib; }));
  row.rss_largest_mib =
      max_of(summary_of(result, [](const auto& m) { return m.usage.rss_largest_mib; }));
  row.system_cpu =
      summarize(collect(result, always([](const auto& m) { return m.usage.system_cpu; }))).median;
  row.system_softirq =
      summarize(collect(result, always([](const auto& m) { return m.usage.system_softirq; })))
          .median;
  if (!result.runs.empty() && result.runs.back().traffic)
    row.congestion = result.runs.back().traffic->congestion;
  return row;
}

// The row of that name, with the same workload and direction.
const RowSummary* find(const std::vector<RowSummary>& rows, const RowSummary& row,
                       const std::string& name) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const RowSummary& other) {
    return other.result->row == name && other.result->workload == row.result->workload &&
           other.result->direction == row.result->direction;
  });
  return found == rows.end() ? nullptr : &*found;
}

// The median over the rounds of what `compare` makes of both rows' runs in that round.
template <class Compare>
std::optional<double> compare_runs(const std::vector<RowSummary>& rows, const RowSummary& row,
                                   const std::string& to, Compare compare) {
  const auto* base = find(rows, row, to);
  if (base == nullptr) return std::nullopt;
  const auto& ours = row.main().runs;
  const auto& theirs = base->main().runs;
  std::vector<double> results;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
    if (theirs[i] > 0) results.push_back(compare(ours[i], theirs[i]));
  if (results.empty()) return std::nullopt;
  return summarize(std::move(results)).median;
}

std::optional<double> ratio(const std::vector<RowSummary>& rows, const RowSummary& row,
                            const std::string& to) {
  return compare_runs(rows, row, to, [](double a, double b) { return a / b; });
}

// Where the workload does not run on loopback, a variant of loopback may run it.
std::optional<double> ratio_to_loopback(const std::vector<RowSummary>& rows,
                                        const RowSummary& row) {
  const std::string loopback = "loopback";
  if (const auto plain = ratio(rows, row, loopback)) return plain;
  for (const auto& other : rows)
    if (other.result->row.starts_with(loopback + "+"))
      if (const auto found = ratio(rows, row, other.result->row)) return found;
  return std::nullopt;
}

std::optional<double> kib_per_peer(const std::vector<RowSummary>& rows, const RowSummary& row,
                                   const std::string& plain) {
  const auto* few = find(rows, row, plain);
  if (few == nullptr || few->peers >= row.peers || !few->rss_largest_mib || !row.rss_largest_mib)
    return std::nullopt;
  return (*row.rss_largest_mib - *few->rss_largest_mib) * 1024 / (row.peers - few->peers);
}

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

std::vector<RowSummary> summarize_rows(const ScenarioResult& result) {
  std::vector<RowSummary> rows;
  for (const auto& row : result.rows) rows.push_back(summarize_row(row));
  for (auto& row : rows)
    if (const auto* own = result.scenario.find_row(row.result->row)) row.peers = own->peers;
  for (auto& row : rows) {
    const auto* own = result.scenario.find_row(row.result->row);
    row.scenario = result.scenario.name;
    row.relative_to = own != nullptr && !own->relative_to.empty() ? own->relative_to
                                                                  : result.scenario.relative_to;
    row.ratio_to_loopback = ratio_to_loopback(rows, row);
    row.ratio = ratio(rows, row, row.relative_to);
    if (own != nullptr) row.rss_kib_per_peer = kib_per_peer(rows, row, own->plain);
    if (row.round_trip_us)
      row.added_us =
          compare_runs(rows, row, row.relative_to, [](double a, double b) { return a - b; });
  }
  return rows;
}

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
