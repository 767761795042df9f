#include "bench/results.h"

#include <nlohmann/json.hpp>

#include <algorithm>

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

RowSummary summarize_row(const RowResult& result) {
  RowSummary row;
  row.result = &result;
  const auto always = [](auto pick) {
    return [pick](const Measurement& m) { return std::optional<double>(pick(m)); };
  };
  row.gbps = summarize(collect(result, always([](const auto& m) { return m.traffic.gbps; })));
  row.retransmits = summary_of(result, [](const auto& m) { return m.traffic.retransmits; });
  row.lost_percent = summary_of(result, [](const auto& m) { return m.traffic.lost_percent; });
  row.jitter_ms = summary_of(result, [](const auto& m) { return m.traffic.jitter_ms; });
  row.cpu_avg = median_of(summary_of(result, [](const auto& m) { return m.usage.cpu_avg; }));
  row.cpu_max = max_of(summary_of(result, [](const auto& m) { return m.usage.cpu_max; }));
  row.rss_avg_mib =
      median_of(summary_of(result, [](const auto& m) { return m.usage.rss_avg_mib; }));
  row.rss_max_mib = max_of(summary_of(result, [](const auto& m) { return m.usage.rss_max_mib; }));
  row.system_cpu =
      summarize(collect(result, always([](const auto& m) { return m.usage.system_cpu; }))).median;
  row.system_softirq =
      summarize(collect(result, always([](const auto& m) { return m.usage.system_softirq; })))
          .median;
  if (!result.runs.empty()) row.congestion = result.runs.back().traffic.congestion;
  return row;
}

std::optional<double> ratio(const std::vector<RowSummary>& rows, const RowSummary& row,
                            const std::string& to) {
  const auto base = std::find_if(rows.begin(), rows.end(), [&](const RowSummary& other) {
    return other.result->row == to && other.result->workload == row.result->workload &&
           other.result->direction == row.result->direction;
  });
  if (base == rows.end() || base->gbps.median <= 0 || row.gbps.runs.empty()) return std::nullopt;
  return row.gbps.median / base->gbps.median;
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

json to_json(const RowSummary& row, const std::string& relative_to) {
  json raw = json::array();
  for (const auto& run : row.result->runs) raw.push_back(json::parse(run.raw, nullptr, false));
  return {{"scenario", row.scenario},
          {"row", row.result->row},
          {"workload", row.result->workload},
          {"direction", direction_name(row.result->direction)},
          {"gbps", to_json(row.gbps)},
          {"retransmits", to_json(row.retransmits)},
          {"lost_percent", to_json(row.lost_percent)},
          {"jitter_ms", to_json(row.jitter_ms)},
          {"congestion", row.congestion.empty() ? json(nullptr) : json(row.congestion)},
          {"cpu_percent", {{"avg", to_json(row.cpu_avg)}, {"max", to_json(row.cpu_max)}}},
          {"system_cpu_percent", row.result->runs.empty() ? json(nullptr) : json(row.system_cpu)},
          {"system_softirq_percent",
           row.result->runs.empty() ? json(nullptr) : json(row.system_softirq)},
          {"rss_mib", {{"avg", to_json(row.rss_avg_mib)}, {"max", to_json(row.rss_max_mib)}}},
          {"ratio_to_loopback", to_json(row.ratio_to_loopback)},
          {"relative_to", relative_to.empty() ? json(nullptr) : json(relative_to)},
          {"ratio", to_json(row.ratio)},
          {"skipped", to_json(row.result->skipped)},
          {"failed", to_json(row.result->failed)},
          {"commands", row.result->commands},
          {"raw", std::move(raw)}};
}

json describe(const ScenarioResult& result) {
  json rows = json::object();
  for (const auto& row : result.scenario.rows) rows[row.name] = row.about;
  return {{"name", result.scenario.name},
          {"title", result.scenario.title},
          {"file", result.scenario.path},
          {"about", std::move(rows)},
          {"duration_s", result.options.duration_s},
          {"warmup_s", result.options.warmup_s},
          {"repeat", result.options.repeat},
          {"interrupted", result.interrupted}};
}

}  // namespace

std::vector<RowSummary> summarize_rows(const ScenarioResult& result,
                                       const std::string& relative_to) {
  std::vector<RowSummary> rows;
  for (const auto& row : result.rows) rows.push_back(summarize_row(row));
  for (auto& row : rows) {
    row.scenario = result.scenario.name;
    row.ratio_to_loopback = ratio(rows, row, "loopback");
    if (!relative_to.empty()) row.ratio = ratio(rows, row, relative_to);
  }
  return rows;
}

std::string to_json(const Session& session, bool for_report) {
  json root = {{"machine", to_json(session.machine)},
               {"date", session.date},
               {"command", session.command},
               {"scenarios", json::array()},
               {"results", json::array()}};
  for (const auto& scenario : session.scenarios) {
    root["scenarios"].push_back(describe(scenario));
    const auto relative_to =
        session.relative_to.empty() ? scenario.scenario.relative_to : session.relative_to;
    for (const auto& row : summarize_rows(scenario, relative_to))
      root["results"].push_back(to_json(row, relative_to));
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
