// `warren icmp stats`: how much was carried, by flow, and what was dropped, by reason.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "carrier/icmp_reasons.h"
#include "cli/ask.h"
#include "cli/icmp.h"
#include "core/log.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct StatsOptions {
  bool watch = false;
  bool json = false;
};

struct Row {
  std::string flow;  ///< "alice:51820" or "203.0.113.7:51820"
  Json json;
  carrier::IcmpCounts counts{};
};

struct Sample {
  Clock::time_point when = Clock::now();
  carrier::IcmpState state;
  std::vector<Row> rows;
};

Result<Sample> take_sample() {
  Sample sample;
  const auto carrier = carrier::IcmpCarrier::find(carrier::BpfPins::Access::read);
  if (!carrier) return tl::unexpected(carrier.error());
  if (!*carrier) return sample;
  auto state = (*carrier)->state();
  if (!state) return tl::unexpected(state.error());
  sample.state = std::move(*state);
  for (const auto& [server, counts] : sample.state.servers)
    sample.rows.push_back(
        {fmt::format("to {}", server.endpoint()),
         {{"server", server.endpoint()}, {"user", server.name}, {"tag", server.tag.to_string()}},
         counts});
  for (const auto& user : sample.state.users)
    sample.rows.push_back({fmt::format("{} on {}", user.user.name, user.user.port),
                           {{"user", user.user.name},
                            {"port", user.user.port},
                            {"tag", user.user.tag.to_string()},
                            {"sessions", user.sessions}},
                           user.counts});
  return sample;
}

// What happened since: nothing, where a flow is new or began anew.
carrier::IcmpCounts difference(const Row& row, const Sample& before) {
  for (const auto& old : before.rows)
    if (old.flow == row.flow && old.counts.tx_packets <= row.counts.tx_packets &&
        old.counts.rx_packets <= row.counts.rx_packets)
      return {.tx_packets = row.counts.tx_packets - old.counts.tx_packets,
              .tx_bytes = row.counts.tx_bytes - old.counts.tx_bytes,
              .rx_packets = row.counts.rx_packets - old.counts.rx_packets,
              .rx_bytes = row.counts.rx_bytes - old.counts.rx_bytes,
              .since = row.counts.since};
  return {};
}

Json to_json(const carrier::IcmpCounts& counts) {
  return {{"tx_packets", counts.tx_packets},
          {"tx_bytes", counts.tx_bytes},
          {"rx_packets", counts.rx_packets},
          {"rx_bytes", counts.rx_bytes}};
}

void print_json(const Sample& sample, const Sample* before) {
  Json servers = Json::array();
  Json users = Json::array();
  for (const auto& row : sample.rows) {
    Json entry = row.json;
    entry.update(to_json(row.counts));
    if (before != nullptr) {
      const std::chrono::duration<double> time = sample.when - before->when;
      const auto since = difference(row, *before);
      entry["tx_bits_per_second"] = 8 * static_cast<double>(since.tx_bytes) / time.count();
      entry["rx_bits_per_second"] = 8 * static_cast<double>(since.rx_bytes) / time.count();
      entry["tx_packets_per_second"] = static_cast<double>(since.tx_packets) / time.count();
      entry["rx_packets_per_second"] = static_cast<double>(since.rx_packets) / time.count();
    }
    (entry.contains("server") ? servers : users).push_back(std::move(entry));
  }
  const Json json = {{"servers", servers},
                     {"users", users},
                     {"sessions", sample.state.sessions},
                     {"session_capacity", sample.state.session_capacity},
                     {"drops", sample.state.drops}};
  fmt::print("{}\n", json.dump(before == nullptr ? 2 : -1));
}

std::string rate(std::uint64_t bytes, std::chrono::duration<double> time) {
  double bits = 8 * static_cast<double>(bytes) / time.count();
  const char* unit = "bit/s";
  for (const char* larger : {"kbit/s", "Mbit/s", "Gbit/s"}) {
    if (bits < 1000) break;
    bits /= 1000;
    unit = larger;
  }
  return fmt::format("{:.1f} {}", bits, unit);
}

void print_text(const Sample& sample, const Sample* before) {
  fmt::print("{:<32} {:>14} {:>16} {:>14} {:>16}", "flow", "out packets", "bytes", "in packets",
             "bytes");
  fmt::print("{}\n", before == nullptr ? "" : "       out rate         in rate");
  for (const auto& row : sample.rows) {
    fmt::print("{:<32} {:>14} {:>16} {:>14} {:>16}", row.flow, row.counts.tx_packets,
               row.counts.tx_bytes, row.counts.rx_packets, row.counts.rx_bytes);
    if (before != nullptr) {
      const auto since = difference(row, *before);
      const auto time = sample.when - before->when;
      fmt::print(" {:>14} {:>15}", rate(since.tx_bytes, time), rate(since.rx_bytes, time));
    }
    fmt::print("\n");
  }
  fmt::print("sessions: {} of {}\n", sample.state.sessions, sample.state.session_capacity);
  for (const auto& reason : carrier::icmp_reasons) {
    const auto found = sample.state.drops.find(std::string(reason.name));
    if (found != sample.state.drops.end() && found->second != 0)
      fmt::print("{} {:<13} {:>12}  {}\n", reason.dropped ? "dropped" : "passed ", reason.name,
                 found->second, reason.meaning);
  }
}

Result<> show(const Sample& sample, const Sample* before, const StatsOptions& options) {
  if (options.json)
    print_json(sample, before);
  else if (sample.rows.empty() && sample.state.devices.empty())
    fmt::print("nothing is carried in this network namespace\n");
  else
    print_text(sample, before);
  if (std::fflush(stdout) != 0) return fail_errno("cannot write to standard output");
  return {};
}

Result<> stats(const StatsOptions& options) {
  auto sample = take_sample();
  if (!sample) return tl::unexpected(sample.error());
  if (!options.watch) return show(*sample, nullptr, options);
  const bool terminal = !options.json && ::isatty(STDOUT_FILENO) != 0;
  for (;;) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    auto next = take_sample();
    if (!next) return tl::unexpected(next.error());
    if (terminal) fmt::print("\x1b[H\x1b[J");  // cursor home, clear the rest
    if (auto shown = show(*next, &*sample, options); !shown) return shown;
    sample = std::move(next);
  }
}

}  // namespace

void add_icmp_stats(CLI::App& icmp, Chosen& chosen) {
  auto* command =
      icmp.add_subcommand("stats", "Show how much was carried by flow, and what was dropped");
  auto options = std::make_shared<StatsOptions>();
  command->add_flag("--watch", options->watch, "show it every second, with rates");
  command->add_flag("--json", options->json, "print JSON; with --watch one line each second");
  command->footer(
      "Bytes are those of IP packets. \"passed\" is what looked like a carried packet and was left "
      "to the host as an "
      "ordinary ping.\n"
      "\nExamples:\n"
      "  warren icmp stats\n"
      "  warren icmp stats --watch\n"
      "  warren icmp stats --json | jq .drops\n");
  command->callback([options, &chosen] { chosen = [options] { return report(stats(*options)); }; });
}

}  // namespace warren::cli
