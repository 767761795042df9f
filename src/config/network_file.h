/// The file that `warren up` takes, as a description of nodes and links. warren.toml(5) describes
/// the format.
#pragma once

#include <string>
#include <string_view>

#include <warren/result.h>

#include "core/graph.h"

namespace warren::config {

/// Errors are one line for each mistake: `home.toml:12:3: …`.
[[nodiscard]] Result<GraphSpec> read_network_file(const std::string& path);
/// `name` stands for the file in messages.
[[nodiscard]] Result<GraphSpec> parse_network(std::string_view text, std::string name);

}  // namespace warren::config
