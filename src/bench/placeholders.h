/// Placeholders in the command lines and network files of a scenario, and what they stand for.
///
///     {warren} {examples}   the warren program, and the folder of the examples
///     {TOOL}                a name of the scenario's `tools`: its command line
///     {VARIABLE}            of the row, and may contain the others
///     {peers}               how many peers the row has
///     {OUTPUT}              what an earlier program of the row printed
///
/// Braces around anything else stay as they are.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/scenario.h"

namespace warren::bench {

/// Where warren's own programs are.
struct Places {
  std::string warren;     ///< the program itself
  std::string examples;   ///< folder of the example programs
  std::string scenarios;  ///< folder of the scenarios that come with warren
};

/// Beside the running program: in the build tree, or as installed.
[[nodiscard]] Places find_places();

using Outputs = std::map<std::string, std::string>;

/// The words of a command line of the row. Tools and variables may bring several words, places and
/// outputs never make new ones.
[[nodiscard]] Result<std::vector<std::string>> expand_command(const std::string& command,
                                                              const Scenario& scenario,
                                                              const Row& row, const Places& places,
                                                              const Outputs& outputs = {});
/// The whole command line that a row with a command runs: its own words and the forwarder's
/// arguments.
[[nodiscard]] Result<std::vector<std::string>> forwarder_command(const Scenario& scenario,
                                                                 const Row& row,
                                                                 const Places& places);

/// The command line with the row's variables in it, and everything else still to be replaced.
[[nodiscard]] std::string with_variables(std::string command, const Row& row);
/// A network file of the row: with its variables and earlier programs' outputs.
[[nodiscard]] std::string expand_text(std::string text, const Row& row, const Outputs& outputs);
/// "{NAME}".
[[nodiscard]] std::string mark(const std::string& name);

/// The item of that name, which the scenario's reader has seen to be there.
template <class Items>
const auto& named(const Items& items, const std::string& name) {
  for (const auto& item : items)
    if (item.name == name) return item;
  __builtin_unreachable();
}

}  // namespace warren::bench
