#include "bench/row_summary.h"

#include <algorithm>

namespace warren::bench {

namespace {

// The values that `pick` finds in the runs; those without one are left out.
template <class Pick>
std::vector<double> collect(const RowResult& result, Pick pick) {
  std::vector<double> values;
  for (const auto& run : result.runs)
    if (const auto value = pick(run)) values.push_back(static_cast<double>(*value));
  return values;
}

template <class Pick>
std::optional<Summary> summary_of(const RowResult& result, Pick pick) {
  auto values = collect(result, pick);
  if (values.empty()) return std::nullopt;
  return summarize(std::move(values));
}

// Of a value, or of one that a run may lack, of a part of the measurement that a run may lack.
template <class Part, class Value>
std::optional<Summary> summary_of(const RowResult& result, std::optional<Part> Measurement::* part,
                                  Value Part::* value) {
  return summary_of(result, [&](const Measurement& m) {
    return m.*part ? std::optional((*(m.*part)).*value) : std::nullopt;
  });
}

std::optional<Summary> usage_of(const RowResult& result, std::optional<double> Usage::* value) {
  return summary_of(result, [&](const Measurement& m) { return m.usage.*value; });
}

double median_of(const RowResult& result, double Usage::* value) {
  const auto pick = [&](const Measurement& m) { return std::optional(m.usage.*value); };
  return summarize(collect(result, pick)).median;
}

std::optional<double> median_of(const std::optional<Summary>& summary) {
  return summary ? std::optional(summary->median) : std::nullopt;
}
std::optional<double> max_of(const std::optional<Summary>& summary) {
  return summary ? std::optional(summary->max) : std::nullopt;
}

// A rate of none is one that was not measured.
std::optional<Summary> handshakes_of(const RowResult& result, double HandshakeResult::* value) {
  return summary_of(result, [&](const Measurement& m) {
    return m.handshakes && (*m.handshakes).*value > 0 ? std::optional((*m.handshakes).*value)
                                                      : std::nullopt;
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

void summarize_usage(const RowResult& result, RowSummary& row) {
  row.cpu_per_gbps = summary_of(result, cpu_per_gbps);
  row.cpu_avg = median_of(usage_of(result, &Usage::cpu_avg));
  row.cpu_max = max_of(usage_of(result, &Usage::cpu_max));
  row.rss_avg_mib = median_of(usage_of(result, &Usage::rss_avg_mib));
  row.rss_max_mib = max_of(usage_of(result, &Usage::rss_max_mib));
  row.rss_largest_mib = max_of(usage_of(result, &Usage::rss_largest_mib));
  row.system_cpu = median_of(result, &Usage::system_cpu);
  row.system_softirq = median_of(result, &Usage::system_softirq);
}

RowSummary summarize_row(const RowResult& result) {
  const auto traffic = [&](auto value) { return summary_of(result, &Measurement::traffic, value); };
  const auto round_trip = [&](auto value) {
    return summary_of(result, &Measurement::round_trip, value);
  };
  const auto stream = [&](auto value) { return summary_of(result, &Measurement::stream, value); };
  const auto on_wire = [&](Direction way) {
    return summary_of(result,
                      [&](const Measurement& m) { return wire_packets(m, way, result.direction); });
  };
  RowSummary row;
  row.result = &result;
  row.gbps = traffic(&Iperf3Result::gbps).value_or(Summary{});
  row.packets_per_s = traffic(&Iperf3Result::packets_per_s);
  row.retransmits = traffic(&Iperf3Result::retransmits);
  row.lost_percent = traffic(&Iperf3Result::lost_percent);
  row.jitter_ms = traffic(&Iperf3Result::jitter_ms);
  row.round_trip_us = round_trip(&RoundTripResult::median_us);
  row.round_trip_p99_us = round_trip(&RoundTripResult::p99_us);
  row.delay_us = stream(&StreamResult::median_us);
  row.delay_p99_us = stream(&StreamResult::p99_us);
  row.handshakes_per_s = handshakes_of(result, &HandshakeResult::per_s);
  row.handshakes_per_core_s = handshakes_of(result, &HandshakeResult::per_core_s);
  row.wire_out = on_wire(Direction::forward);
  row.wire_back = on_wire(Direction::reverse);
  row.fragments = summary_of(result, &Measurement::packets, &PacketCount::fragments);
  summarize_usage(result, row);
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

}  // namespace warren::bench
