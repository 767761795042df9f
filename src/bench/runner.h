/// Runs the rows of a scenario, round after round, and collects what they measured.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/monitor.h"
#include "bench/scenario.h"
#include "bench/testbed.h"

namespace warren::bench {

struct RunOptions {
  int duration_s = 5;
  int warmup_s = 1;
  int repeat = 5;
};

/// One run of one workload in one direction.
struct Measurement {
  Iperf3Result traffic;
  Usage usage;
  std::string raw;  ///< iperf3's JSON
};

/// Everything about one row, workload and direction.
struct RowResult {
  std::string row;
  std::string workload;
  Direction direction = Direction::forward;
  std::vector<Measurement> runs;
  std::vector<std::string> commands;
  std::optional<std::string> skipped;  ///< why it was not run: not installed
  std::optional<std::string> failed;   ///< what went wrong; runs before that are kept
};

struct ScenarioResult {
  Scenario scenario;
  RunOptions options;
  std::vector<RowResult> rows;  ///< in the scenario's order
  bool interrupted = false;
};

struct Progress {
  int done = 0;
  int total = 0;
  double seconds_left = 0;
  std::string now;  ///< "veth, forward"
};

/// `scenario` holds the rows to run. Rows are interleaved: each round runs each row once, in both
/// directions, and begins one row later than the round before, so that neither drift nor order
/// favours a row. A row that fails is not run again. Ctrl-C (see InterruptScope) ends it early.
[[nodiscard]] ScenarioResult run_scenario(const Scenario& scenario, const RunOptions& options,
                                          const Places& places,
                                          const std::function<void(const Progress&)>& progress);

/// Why the row cannot be run on this machine, or nothing.
[[nodiscard]] std::optional<std::string> missing_program(const Scenario& scenario, const Row& row,
                                                         const Places& places);

/// Runs one workload once on a test bed that is up. `while_running` is called once, when the
/// traffic flows.
[[nodiscard]] Result<Measurement> measure(Testbed& bed, const Workload& workload,
                                          Direction direction, const Iperf3Timing& timing,
                                          std::vector<std::string>& commands,
                                          const std::function<void()>& while_running = {});

/// The workload with what the row has in place of it.
[[nodiscard]] Workload workload_of(const Workload& workload, const Row& row);

}  // namespace warren::bench
