/// Flame graphs: where the time of a row goes, from samples of perf(1).
///
/// `perf record` runs beside a run of its own, whose figures are thrown away; its stacks, as `perf
/// script` prints them, are folded into a tree and drawn as SVG.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <warren/result.h>

#include "bench/results.h"

namespace warren::bench {

/// Samples by call: `samples` counts those that were in this function or in what it called.
struct CallTree {
  std::uint64_t samples = 0;
  std::map<std::string, CallTree> calls;
};

/// Reads what `perf script -F comm,ip,sym,dso` prints: per sample a line with the thread's name and
/// then its stack, the innermost function first. Functions of the kernel keep their names with
/// "_[k]" behind them.
[[nodiscard]] CallTree fold_stacks(std::string_view perf_script);

/// Functions with less than a pixel are left out.
[[nodiscard]] std::string render_flame_graph(const CallTree& tree);

/// Takes one of each row of the scenario that can run, of its first workload, forward.
[[nodiscard]] std::vector<FlameGraph> take_flame_graphs(const ScenarioResult& result,
                                                        const Places& places);

/// Why there can be none here: perf is not installed, or may not be used.
[[nodiscard]] Result<> check_perf();

}  // namespace warren::bench
