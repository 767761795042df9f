/// What this machine lacks for a row: programs, or parts of the kernel.
#pragma once

#include <optional>
#include <string>

#include "bench/placeholders.h"
#include "bench/scenario.h"

namespace warren::bench {

/// Why the row cannot be run on this machine, or nothing: "not installed: no program NAME", or the
/// kernel makes no devices of a kind. Needs root for the latter; without it the kernel has them all.
[[nodiscard]] std::optional<std::string> missing_part(const Scenario& scenario, const Row& row,
                                                      const Places& places);

/// Why the workload cannot be run on this machine: the kernel lacks its congestion control.
[[nodiscard]] std::optional<std::string> missing_congestion(const Workload& workload);

/// What reasons about programs begin with.
inline constexpr std::string_view not_installed = "not installed: ";

}  // namespace warren::bench
