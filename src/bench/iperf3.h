/// The workload iperf3(1): its command lines and what its JSON says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warren/result.h>

namespace warren::bench {

/// Which way the payload goes: forward from the client to the server, reverse back (iperf3 -R).
enum class Direction { forward, reverse };
[[nodiscard]] std::string_view direction_name(Direction direction);

struct Iperf3 {
  static constexpr std::uint16_t port = 5201;

  bool udp = false;
  std::string rate;  ///< As iperf3 -b takes it ("500M"); empty: TCP unlimited, UDP 1 Mbit/s.
  int streams = 1;   ///< iperf3 -P
  std::string congestion = "cubic";
  std::optional<int> length;  ///< iperf3 -l, bytes per write or datagram
  std::vector<Direction> directions = {Direction::forward, Direction::reverse};
};

struct Iperf3Timing {
  int duration_s = 0;
  int warmup_s = 0;  ///< iperf3 -O: at the start, not counted
};

[[nodiscard]] std::vector<std::string> iperf3_server(const std::string& address);
[[nodiscard]] std::vector<std::string> iperf3_client(const Iperf3& workload,
                                                     const std::string& address,
                                                     Direction direction,
                                                     const Iperf3Timing& timing);

struct Iperf3Result {
  double gbps = 0;                          ///< payload that the receiver got
  std::optional<std::int64_t> retransmits;  ///< TCP
  std::optional<double> packets_per_s;      ///< UDP: datagrams that the receiver got
  std::optional<double> lost_percent;       ///< UDP
  std::optional<double> jitter_ms;          ///< UDP
  std::string congestion;                   ///< what the sender really used; empty for UDP
};

/// Reads the client's output. What iperf3 itself calls an error is an error here, in its words.
[[nodiscard]] Result<Iperf3Result> parse_iperf3(std::string_view json);

}  // namespace warren::bench
