/// Reads the sections [wire.NAME] of a scenario, and what it says about devices elsewhere.
#pragma once

#include <string>
#include <vector>

#include "bench/scenario.h"
#include "config/toml_reader.h"

namespace warren::bench {

/// `hosts` are those that it may name. Notes errors in the table.
[[nodiscard]] Wire read_wire(const std::string& name, config::TomlTable& table,
                             const std::vector<std::string>& hosts);

/// Addresses, routes, MTU and offloads. An MTU and offloads that are absent leave those of `device`.
void read_device(config::TomlTable& table, Device& device);

}  // namespace warren::bench
