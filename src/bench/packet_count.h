/// How many packets become of one: the counters of a device before and after a run.
///
///     count-at = "pocket:wan"     in the scenario: a host, and its device for the wire
///
/// Where a device takes super-packets whole, its counter counts them; give the wire's ends an
/// `offload` that keeps them away. What hosts fragment is counted too, whoever does it: the
/// kernel's counters of all hosts, IPv4 and IPv6, and those of `warren up` on them.
#pragma once

#include <cstdint>
#include <string>

#include <warren/result.h>

#include "bench/host.h"

namespace warren::bench {

struct CountedDevice {
  std::string host;
  std::string device;
};

struct PacketCount {
  std::int64_t out = 0;        ///< that the host has sent by the device
  std::int64_t back = 0;       ///< that it got
  std::int64_t fragments = 0;  ///< that all hosts have made, their kernels and Warren's tunnels

  [[nodiscard]] PacketCount since(const PacketCount& before) const;
};

[[nodiscard]] Result<PacketCount> count_packets(const Hosts& hosts, const CountedDevice& device);

}  // namespace warren::bench
