#include "bench/measure.h"

#include <fmt/format.h>
#include <poll.h>

#include <fstream>
#include <sstream>

#include "bench/wait.h"

namespace warren::bench {

namespace {

using Clock = Monitor::Clock;
constexpr int sample_every_ms = 100;

struct Sockets {
  int listening = 0;
  int established = 0;
};

// Those of one port in the host's /proc/net/tcp and tcp6: "sl local_address:PORT remote state …",
// in hex.
Sockets count_sockets(const Host& host, std::uint16_t port) {
  Sockets count;
  const auto wanted = fmt::format(":{:04X}", port);
  for (const auto* table : {"tcp", "tcp6"}) {
    std::ifstream in(fmt::format("/proc/{}/net/{}", host.pid(), table));
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
      std::istringstream fields(line);
      std::string slot, local, remote, state;
      fields >> slot >> local >> remote >> state;
      if (!local.ends_with(wanted)) continue;
      if (state == "0A") ++count.listening;
      if (state == "01") ++count.established;
    }
  }
  return count;
}

// The counters of UDP, IPv4 and IPv6, of a host.
std::string udp_counters(const Host& host) {
  std::string counters;
  for (const auto* table : {"snmp", "snmp6"}) {
    std::ifstream in(fmt::format("/proc/{}/net/{}", host.pid(), table));
    for (std::string line; std::getline(in, line);)
      if (line.starts_with("Udp")) counters += line + "\n";
  }
  return counters;
}

// Datagrams of the run before may still be under way, in the queues of relays and tunnels; iperf3
// would take the first that it gets for its client's.
Result<> await_quiet(Testbed& bed, const Workload& workload) {
  constexpr int quiet_looks = 5;
  constexpr Milliseconds between_looks{20};
  std::string last;
  int still = 0;
  return wait_until(
      "an end of the datagrams of the run before",
      [&]() -> Result<bool> {
        auto now =
            udp_counters(bed.host(workload.client)) + udp_counters(bed.host(workload.server));
        still = now == last ? still + 1 : 0;
        last = std::move(now);
        return still >= quiet_looks;
      },
      patience, between_looks);
}

Result<> check_alive(Testbed& bed) {
  if (interrupted()) return fail_interrupted();
  if (auto alive = bed.check(); !alive) return alive;
  return {};
}

// The time at which the data connections stand, or the client has ended.
Result<Clock::time_point> await_traffic(Testbed& bed, const Workload& workload, Process& client) {
  const int connections = workload.iperf3.udp ? 1 : 1 + workload.iperf3.streams;
  const auto done = wait_until("the connections of iperf3", [&]() -> Result<bool> {
    if (auto alive = check_alive(bed); !alive) return tl::unexpected(alive.error());
    if (!client.running()) return true;
    return count_sockets(bed.host(workload.server), Iperf3::port).established >= connections;
  });
  if (!done) return tl::unexpected(done.error());
  return Clock::now();
}

Result<std::unique_ptr<Process>> start_server(Testbed& bed, const Workload& workload,
                                              std::vector<std::string>& commands) {
  const auto words = iperf3_server(workload.address);
  commands.push_back(fmt::format("{}# {}", workload.server, join_words(words)));
  const auto& host = bed.host(workload.server);
  auto server = Process::start({words, {}}, &host);
  if (!server) return server;
  const auto listening = wait_until("listening of the iperf3 server", [&]() -> Result<bool> {
    if (!(*server)->running()) return fail((*server)->obituary());
    return count_sockets(host, Iperf3::port).listening > 0;
  });
  if (!listening) return tl::unexpected(listening.error());
  return server;
}

Result<Measurement> measure_iperf3(Testbed& bed, const Workload& workload, Direction direction,
                                   const Iperf3Timing& timing, std::vector<std::string>& commands,
                                   const std::function<void()>& while_running) {
  for (const auto& name : {workload.client, workload.server}) {
    if (workload.iperf3.udp) break;
    auto preferred = prefer_congestion_control(bed.host(name), workload.iperf3.congestion);
    if (!preferred) return tl::unexpected(preferred.error());
  }
  auto server = start_server(bed, workload, commands);
  if (!server) return tl::unexpected(server.error());
  const auto words = iperf3_client(workload.iperf3, workload.address, direction, timing);
  commands.push_back(fmt::format("{}# {}", workload.client, join_words(words)));
  auto client = Process::start({words, {}}, &bed.host(workload.client));
  if (!client) return tl::unexpected(client.error());
  const auto begin = await_traffic(bed, workload, **client);
  if (!begin) return tl::unexpected(begin.error());
  if (while_running) while_running();

  Monitor monitor(bed.forwarders());
  const auto limit = *begin + std::chrono::seconds(timing.warmup_s + timing.duration_s) + patience;
  while ((*client)->running()) {
    monitor.sample();
    if (auto alive = check_alive(bed); !alive) return tl::unexpected(alive.error());
    if (Clock::now() > limit)
      return fail(
          fmt::format("iperf3 hangs: it should have ended {} s ago", patience.count() / 1000));
    pollfd ended{(*client)->pidfd(), POLLIN, 0};
    ::poll(&ended, 1, sample_every_ms);
  }
  Measurement measurement;
  measurement.raw = (*client)->output();
  auto traffic = parse_iperf3(measurement.raw);
  if (!traffic) {
    if (auto alive = bed.check(); !alive) return tl::unexpected(alive.error());
    return fail(measurement.raw.empty() ? (*client)->obituary() : traffic.error().message);
  }
  measurement.traffic = std::move(*traffic);
  const auto from = *begin + std::chrono::seconds(timing.warmup_s);
  measurement.usage = monitor.usage(from, from + std::chrono::seconds(timing.duration_s));
  return measurement;
}

Result<Measurement> measure_round_trip(Testbed& bed, const Workload& workload,
                                       const Iperf3Timing& timing,
                                       std::vector<std::string>& commands,
                                       const std::function<void()>& while_running) {
  auto probe = RoundTrip::open(bed.host(workload.client), bed.host(workload.server),
                               workload.address, *workload.iperf3.length);
  if (!probe) return tl::unexpected(probe.error());
  commands.push_back(
      fmt::format("{}# UDP datagrams of {} bytes to {} port {} and back, one at a time",
                  workload.client, *workload.iperf3.length, workload.address, Iperf3::port));
  if (while_running) while_running();
  Monitor monitor(bed.forwarders());
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::seconds(timing.duration_s);
  for (monitor.sample(); Clock::now() < end; monitor.sample()) {
    if (auto alive = check_alive(bed); !alive) return tl::unexpected(alive.error());
    if (auto ran = probe->run(Milliseconds(sample_every_ms)); !ran)
      return tl::unexpected(ran.error());
  }
  Measurement measurement;
  measurement.round_trip = probe->result();
  measurement.usage = monitor.usage(begin, Clock::now());
  measurement.raw = probe->to_json();
  if (measurement.round_trip->answered == 0) return fail("no datagram came back");
  return measurement;
}

}  // namespace

Result<Measurement> measure(Testbed& bed, const Workload& workload, Direction direction,
                            const Iperf3Timing& timing, std::vector<std::string>& commands,
                            const std::function<void()>& while_running) {
  if (workload.iperf3.udp)
    if (auto quiet = await_quiet(bed, workload); !quiet) return tl::unexpected(quiet.error());
  if (workload.tool == Workload::Tool::round_trip)
    return measure_round_trip(bed, workload, timing, commands, while_running);
  return measure_iperf3(bed, workload, direction, timing, commands, while_running);
}

}  // namespace warren::bench
