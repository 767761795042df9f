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
#include "bench/stream.h"
#include "bench/testbed.h"

namespace warren::bench {

/// One run of one workload in one direction.
struct Measurement {
  std::optional<Iperf3Result> traffic;        ///< of iperf3
  std::optional<RoundTripResult> round_trip;  ///< of round-trip and ping
  std::optional<StreamResult> stream;         ///< beside `traffic`
  std::optional<HandshakeResult> handshakes;
  std::optional<PacketCount> packets;  ///< where the scenario counts them
  Usage usage;
  std::string raw;  ///< JSON: the tool's own
};

/// Runs one workload once on a test bed that is up. `beside` is the workload that runs at the same
/// time where `workload` names one. `while_running` is called once, when the traffic flows.
[[nodiscard]] Result<Measurement> measure(Testbed& bed, const Workload& workload,
                                          const std::optional<Workload>& beside,
                                          Direction direction, const Iperf3Timing& timing,
                                          std::vector<std::string>& commands,
                                          const std::function<void()>& while_running = {});

/// "UDP datagrams of 1300 bytes at 60 Mbit/s".
[[nodiscard]] std::string describe_stream(const Workload& workload);

}  // namespace warren::bench
