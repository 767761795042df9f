/// What `warren doctor` looks at. Each probe tries the thing itself where that does no harm: what a
/// kernel says about itself and what it then permits are two matters.
#pragma once

#include <string>
#include <vector>

namespace warren::cli {

enum class State {
  ok,
  missing,     ///< not there
  restricted,  ///< there, but not for this user
  off,         ///< there, but not switched on
};

struct Check {
  std::string group;
  std::string name;
  State state = State::ok;
  std::string detail;     ///< what was found, or the errno text
  std::string why;        ///< what Warren does with it
  std::string fix;        ///< what to install or do; empty where nothing helps or all is well
  bool required = false;  ///< `warren up` does not work without it
};

/// Devices, namespaces, eBPF, sockets, io_uring, memory, congestion control, tools.
[[nodiscard]] std::vector<Check> probe_machine();

/// Programs that go with Warren, by their packages; a part of probe_machine().
[[nodiscard]] std::vector<Check> probe_tools();

/// Kernel options by name, from /proc/config.gz or /boot/config-RELEASE.
[[nodiscard]] std::vector<Check> probe_kernel_options();

/// `warren doctor FILE`: what hurts in the network that a file describes. The status to end with.
[[nodiscard]] int examine_network(const std::string& file, bool json);

}  // namespace warren::cli
