/// One run of a workload on a test bed: its traffic, and what it costs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/monitor.h"
#include "bench/round_trip.h"
#include "bench/scenario.h"
#include "bench/testbed.h"

namespace warren::bench {

/// One run of one workload in one direction.
struct Measurement {
  Iperf3Result traffic;  ///< of iperf3
  std::optional<RoundTripResult> round_trip;
  Usage usage;
  std::string raw;  ///< JSON: iperf3's own, or RoundTrip's
};

/// Runs one workload once on a test bed that is up. `while_running` is called once, when the
/// traffic flows.
[[nodiscard]] Result<Measurement> measure(Testbed& bed, const Workload& workload,
                                          Direction direction, const Iperf3Timing& timing,
                                          std::vector<std::string>& commands,
                                          const std::function<void()>& while_running = {});

}  // namespace warren::bench
