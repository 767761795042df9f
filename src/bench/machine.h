/// What the figures were taken on. A figure without its machine says little.
#pragma once

#include <map>
#include <string>

namespace warren::bench {

struct Machine {
  std::string cpu;           ///< model name
  int cores = 0;             ///< that warren may use
  int cores_total = 0;       ///< online
  std::string memory;        ///< "23.5 GiB"
  std::string hypervisor;    ///< "yes" if the CPU says that it is virtual
  std::string kernel;        ///< release and version
  std::string distribution;  ///< os-release's PRETTY_NAME
  std::string clock_source;
  std::string governor;  ///< of the CPU's frequency; empty if the machine has none
  std::map<std::string, std::string>
      mitigations;  ///< by the kernel's names, those that affect this CPU
  std::string congestion_available;
  /// Device features that are on, by kind of device, as this kernel makes it: "veth", "tun".
  std::map<std::string, std::string> offloads;
  double busy_percent = 0;  ///< of all cores, with other work, just before the first run
  std::map<std::string, std::string> tools;  ///< versions by name; "not installed"
};

[[nodiscard]] Machine describe_machine();

}  // namespace warren::bench
