/// Everything that a network file can describe: the one table of node kinds.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/toml_reader.h"
#include "core/node.h"

namespace warren::config {

struct NodeKind {
  std::string_view name;  ///< the section, [NAME.…]
  /// Its ports' names; null for a node with one port, which links call by the node's name.
  std::vector<std::string> (*ports)(const NodeConfig& config);
  /// Reads the section of node `node`; mistakes are noted in the document.
  std::shared_ptr<const NodeConfig> (*read)(TomlTable& section, const std::string& node);
  /// What the ports of such a node carry; null, or nothing, where it has no ports, and so no links.
  std::optional<Medium> (*medium)(const NodeConfig& config);
  /// When it is made: what makes devices comes before what needs them.
  int order = 0;
  /// Its node is called KIND.NAME, because it is about NAME, which another section may make.
  bool about = false;
};

/// A section that was read.
struct DescribedNode {
  const NodeKind* kind;
  std::string name;
  TomlPosition position;
  std::shared_ptr<const NodeConfig> config;
};

[[nodiscard]] std::span<const NodeKind> node_kinds();

}  // namespace warren::config
