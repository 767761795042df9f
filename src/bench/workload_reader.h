/// Reads the sections [workload.NAME] of a scenario.
#pragma once

#include <string>
#include <vector>

#include "bench/scenario.h"
#include "config/toml_reader.h"

namespace warren::bench {

/// `hosts` are those that it may name, `before` the workloads that were read already. Notes errors
/// in the table.
[[nodiscard]] Workload read_workload(const std::string& name, config::TomlTable& table,
                                     const std::vector<std::string>& hosts,
                                     const std::vector<Workload>& before);

}  // namespace warren::bench
