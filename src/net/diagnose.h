/// What hurts on this machine in a network that a file describes, also where something else made it.
#pragma once

#include <string>
#include <vector>

#include "core/graph.h"

namespace warren::net {

struct Finding {
  enum class Weight : std::uint8_t {
    broken,  ///< something does not work, or will not
    note,    ///< it works, and could be better
  };
  std::string kind;  ///< for scripts: "port-without-bridge"
  Weight weight = Weight::broken;
  std::string what;
  std::string why;
  std::string fix;
};

/// Looks at devices, routes and sysctls of this network namespace. Changes nothing.
[[nodiscard]] Result<std::vector<Finding>> diagnose(const GraphSpec& spec);

/// What the kernel lacks of what the file asks for, by name; tried in a namespace of its own.
[[nodiscard]] Result<std::vector<Finding>> missing_features(const GraphSpec& spec);

}  // namespace warren::net
