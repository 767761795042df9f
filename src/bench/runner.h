/// Runs the rows of a scenario, round after round, and collects what they measured.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/measure.h"
#include "bench/scenario.h"
#include "bench/testbed.h"

namespace warren::bench {

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
  Timing timing;
  std::vector<RowResult> rows;  ///< in the scenario's order
  bool interrupted = false;
};

struct Progress {
  int done = 0;
  int total = 0;
  double seconds_left = 0;
  std::string now;  ///< "veth, forward"
};

/// `scenario` holds the rows to run. Rows are interleaved: each round takes one workload after the
/// other, and runs each row once with it, in both directions, on a test bed of its own. Rows that
/// are compared thus follow each other closely. Each round begins one row later than the round
/// before and goes the other way, so that neither drift nor order favours a row. A row that fails is
/// not run again. Ctrl-C (see InterruptScope) ends it early.
[[nodiscard]] ScenarioResult run_scenario(const Scenario& scenario, const Timing& timing,
                                          const Places& places,
                                          const std::function<void(const Progress&)>& progress);

/// The first that the row runs with iperf3, or else the first that it runs. The row runs one.
[[nodiscard]] const Workload& first_workload(const Scenario& scenario, const Row& row);

/// The workload with what the row has in place of it.
[[nodiscard]] Workload workload_of(const Workload& workload, const Row& row);
/// The same of the workload that it wants beside itself.
[[nodiscard]] std::optional<Workload> workload_beside(const Scenario& scenario,
                                                      const Workload& workload, const Row& row);

}  // namespace warren::bench
