// `warren bench`: runs scenarios and reports.
#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "bench/flamegraph.h"
#include "bench/missing.h"
#include "bench/output_file.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/results.h"
#include "bench/row_summary.h"
#include "bench/runner.h"
#include "bench/scenario.h"
#include "bench/table.h"
#include "bench/view.h"
#include "bench/wait.h"
#include "cli/bench_selection.h"
#include "cli/commands.h"
#include "core/log.h"

namespace warren::cli {

namespace {

using namespace warren::bench;  // this file is its front

constexpr int interrupted_status = 128 + 2;  // as a shell reports SIGINT

struct Options {
  BenchSelection what;
  std::string out = "warren-report";
  std::string json;
  bool list = false;
  bool flamegraph = false;
};

int list(const Options& options, const Places& places) {
  auto names = options.what.scenarios;
  if (names.empty()) names = known_scenarios(places);
  for (const auto& name : names) {
    const auto scenario = select_from_scenario(name, options.what, places);
    if (!scenario) {
      log::error("{}", scenario.error().message);
      return failed;
    }
    fmt::print("{}: {}\n", scenario->name, scenario->title);
    std::size_t width = 28;
    for (const auto& row : scenario->rows) width = std::max(width, row.name.size());
    for (const auto& row : scenario->rows) {
      const auto missing = missing_part(*scenario, row, places);
      fmt::print("  {:{}} {}{}\n", row.name, width, row.about,
                 missing ? fmt::format(" ({})", *missing) : "");
    }
  }
  return success;
}

// On a terminal one line that changes; elsewhere a line per run, for logs.
void show_progress(const Progress& progress) {
  static const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const auto left = std::lround(progress.seconds_left);
  fmt::print(stderr, "{}[{}/{}] {}, {}:{:02} left{}", terminal ? "\r\033[K" : "", progress.done + 1,
             progress.total, progress.now, left / 60, left % 60, terminal ? "" : "\n");
  std::fflush(stderr);
}

void end_progress() {
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
}

std::string own_command_line() {
  std::ifstream in("/proc/self/cmdline");
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  return join_words(words);
}

std::string now_iso8601() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S%z}", fmt::localtime(std::time(nullptr)));
}

// Tools whose absence makes every row fail, said once and with the package.
Result<> check_tools() {
  if (find_program("iperf3").empty())
    return fail("iperf3 is not installed: apt-get install iperf3 (or run scripts/setup run)");
  if (::access("/proc/self/ns/net", R_OK) != 0)
    return fail_errno("network namespaces (/proc/self/ns/net)");
  // Asked by making one, because capabilities, not user ids, decide.
  if (auto host = Host::create("probe"); !host) return tl::unexpected(host.error());
  return {};
}

struct Outcome {
  int measured = 0;
  int skipped = 0;
  std::vector<std::string> failures;  // in full
  bool interrupted = false;
};

// What became of a row, from its results: one per workload and direction.
void count_row(std::span<const RowResult> results, const std::string& scenario, Outcome& outcome) {
  const auto failed = std::find_if(results.begin(), results.end(),
                                   [](const RowResult& r) { return r.failed.has_value(); });
  const auto any = [&](auto condition) {
    return std::any_of(results.begin(), results.end(), condition);
  };
  if (failed != results.end())
    outcome.failures.push_back(
        fmt::format("{} {}, {}: {}", scenario, failed->row, failed->workload, *failed->failed));
  else if (any([](const RowResult& r) { return r.skipped.has_value(); }))
    ++outcome.skipped;
  else if (any([](const RowResult& r) { return !r.runs.empty(); }))
    ++outcome.measured;
}

Outcome summarize(const std::vector<ScenarioResult>& scenarios) {
  Outcome outcome;
  for (const auto& scenario : scenarios) {
    outcome.interrupted = outcome.interrupted || scenario.interrupted;
    const std::span<const RowResult> all(scenario.rows);
    for (std::size_t begin = 0, end = 0; begin < all.size(); begin = end) {
      while (end < all.size() && all[end].row == all[begin].row) ++end;
      count_row(all.subspan(begin, end - begin), scenario.scenario.name, outcome);
    }
  }
  return outcome;
}

void print_tables(const Session& session, const std::string& view, std::FILE* to) {
  const TableStyle style{::isatty(::fileno(to)) != 0 && std::getenv("NO_COLOR") == nullptr};
  for (const auto& scenario : session.scenarios) {
    const auto rows = summarize_rows(scenario);
    fmt::print(to, "{}", render_table(scenario, rows, style));
    if (const auto* chosen = scenario.scenario.find_view(view))
      fmt::print(to, "{}\n", render_view(*chosen, rows));
  }
}

struct OutputFiles {
  std::string report;
  std::vector<std::string> json;
};

OutputFiles outputs_of(const Options& options) {
  OutputFiles outputs{options.out + "/report.html", {options.out + "/results.json"}};
  if (!options.json.empty()) outputs.json.push_back(options.json);
  return outputs;
}

Result<> check_outputs(const OutputFiles& outputs) {
  if (auto done = check_writable(outputs.report); !done) return done;
  for (const auto& file : outputs.json)
    if (auto done = check_writable(file); !done) return done;
  return {};
}

bool write_outputs(const Session& session, const OutputFiles& outputs) {
  bool written = true;
  const auto write = [&](const std::string& file, const std::string& text) {
    const auto done = write_output(file, text);
    if (!done) log::error("{}", done.error().message);
    written = written && done;
  };
  write(outputs.report, render_report(session));
  const auto json = to_json(session);
  for (const auto& file : outputs.json) write(file, json);
  return written;
}

int finish(const Session& session, const Options& options, const OutputFiles& outputs) {
  std::FILE* const to = options.json == "-" ? stderr : stdout;
  print_tables(session, options.what.view, to);
  const auto outcome = summarize(session.scenarios);
  for (const auto& failure : outcome.failures) log::error("{}", failure);
  std::fflush(to);
  const bool written = write_outputs(session, outputs);
  fmt::print(to, "{}{} rows measured, {} failed, {} skipped. {}\n",
             outcome.interrupted ? "Interrupted: " : "", outcome.measured, outcome.failures.size(),
             outcome.skipped,
             written ? "Report: " + outputs.report : "Not all files could be written.");
  std::fflush(to);
  if (outcome.interrupted) return interrupted_status;
  return written && outcome.failures.empty() ? success : failed;
}

void take_flame_graphs(Session& session, const Places& places) {
  if (interrupted()) return;
  fmt::print(stderr, "Taking flame graphs, one run per row.\n");
  auto graphs = bench::take_flame_graphs(session.scenarios.back(), places);
  for (const auto& graph : graphs)
    if (graph.svg.empty()) log::warning("{} {}: {}", graph.scenario, graph.row, graph.note);
  std::move(graphs.begin(), graphs.end(), std::back_inserter(session.flame_graphs));
}

// What is measured, once everything that it takes is there.
Result<std::vector<Scenario>> prepare(const Options& options, const OutputFiles& outputs,
                                      const Places& places) {
  std::vector<Scenario> scenarios;
  for (const auto& name : options.what.scenarios) {
    auto scenario = select_from_scenario(name, options.what, places);
    if (!scenario) return tl::unexpected(scenario.error());
    scenarios.push_back(std::move(*scenario));
  }
  auto ready = check_tools();
  if (ready && options.flamegraph) ready = check_perf();
  if (ready) ready = check_outputs(outputs);
  if (!ready) return tl::unexpected(ready.error());
  return scenarios;
}

int run(const Options& options) {
  const auto places = find_places();
  if (options.list) return list(options, places);
  const auto outputs = outputs_of(options);
  const auto scenarios = prepare(options, outputs, places);
  if (!scenarios) {
    log::error("{}", scenarios.error().message);
    return failed;
  }
  Session session;
  session.machine = describe_machine();
  constexpr double busy_limit = 10;
  if (session.machine.busy_percent > busy_limit)
    log::warning(
        "other programs keep this machine {:.0f} % busy: figures will be low and scattered",
        session.machine.busy_percent);
  session.date = now_iso8601();
  session.command = own_command_line();
  const InterruptScope interrupts;
  for (const auto& scenario : *scenarios) {
    if (interrupted()) break;
    session.scenarios.push_back(run_scenario(scenario, scenario.timing, places, show_progress));
    end_progress();
    if (options.flamegraph) take_flame_graphs(session, places);
  }
  return finish(session, options, outputs);
}

}  // namespace

void add_bench(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("bench", "measure links side by side on this machine");
  auto options = std::make_shared<Options>();
  command->add_option("SCENARIO", options->what.scenarios,
                      "names of scenarios, or files (default: tun)");
  command->add_flag("--list", options->list,
                    "show the scenarios and their rows, and which programs are missing");
  command->add_flag("--quick", options->what.quick, "few rows, short runs: minutes");
  command->add_option("--only", options->what.only, "run these rows only: ROW,ROW,…")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--duration", options->what.duration,
                   "seconds measured per run (default: the scenario's, or 5)")
      ->check(CLI::Range(1, 3600));
  command
      ->add_option("--warmup", options->what.warmup,
                   "seconds before that, not counted (default: the scenario's, or 1)")
      ->check(CLI::Range(0, 60));
  command
      ->add_option("--repeat", options->what.repeat,
                   "rounds over all rows (default: the scenario's, or 5)")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--row", options->what.rows,
                   "add a row: NAME=COMMAND, run as the scenario's forwarder")
      ->allow_extra_args(false);
  command->add_option("--peer", options->what.peers, "where a peer's program is: NAME=COMMAND")
      ->allow_extra_args(false);
  command->add_option("--relative-to", options->what.relative_to,
                      "show each row's ratio to this row too");
  command->add_option("--view", options->what.view,
                      "measure and print one of the scenario's other tables: seed-000 of icmp");
  command->add_option("--out", options->out, "folder for report.html and results.json")
      ->capture_default_str();
  command->add_option("--json", options->json, "write the results to this file too; - is stdout");
  command->add_flag("--flamegraph", options->flamegraph,
                    "profile each row in one more run and show flame graphs in the report");
  command->footer(
      "Examples:\n"
      "  warren bench tun --quick\n"
      "  warren bench tun --only loopback,veth,up --repeat 10 --relative-to veth\n"
      "  warren bench tun --row 'mine=./forwarder --threads 2' --only loopback,mine\n"
      "  warren bench icmp --view seed-000 --peer udp2raw=/opt/udp2raw/udp2raw\n"
      "  warren bench wireguard --peer wireguard-go-new=/opt/wireguard-go\n"
      "  warren bench my-network.toml --json -\n");
  command->callback([options, &chosen] {
    if (options->what.scenarios.empty() && !options->list) options->what.scenarios = {"tun"};
    chosen = [options] { return run(*options); };
  });
}

}  // namespace warren::cli
