/// What `warren bench` is asked to measure: of a scenario the rows and workloads, and for how long.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/placeholders.h"
#include "bench/scenario.h"

namespace warren::cli {

/// As the command line has it.
struct BenchSelection {
  std::vector<std::string> scenarios;  ///< names of those that come with Warren, or files
  std::vector<std::string> only;       ///< rows; empty: all
  std::vector<std::string> rows;       ///< NAME=COMMAND, to add
  std::vector<std::string> peers;      ///< NAME=COMMAND, where a program is
  std::string relative_to;             ///< a row, or ""
  std::string view;                    ///< another table of the scenario, or ""
  std::optional<int> duration;         ///< seconds
  std::optional<int> warmup;           ///< seconds
  std::optional<int> repeat;
  bool quick = false;
};

/// Names of the scenarios that come with Warren.
[[nodiscard]] std::vector<std::string> known_scenarios(const bench::Places& places);

/// A scenario, reduced to what is asked for and with the user's own rows. Errors suggest the nearest
/// name.
[[nodiscard]] Result<bench::Scenario> select_from_scenario(const std::string& scenario,
                                                           const BenchSelection& selection,
                                                           const bench::Places& places);

}  // namespace warren::cli
