#include "bench/measure.h"

#include <fmt/format.h>
#include <poll.h>

#include <fstream>
#include <sstream>

#include "bench/wait.h"
#include "config/units.h"

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

// What a run is, beside its workload.
struct Run {
  Testbed& bed;
  const Iperf3Timing& timing;
  std::vector<std::string>& commands;
  const std::function<void()>& while_running;
};

// Waits for a moment, or does something useful for so long.
using Pause = std::function<Result<>(Milliseconds)>;

// While the client runs: samples, and after the warm-up `pause`.
Result<> watch_client(Run& run, Process& client, Clock::time_point begin, Monitor& monitor,
                      const Pause& pause) {
  const auto from = begin + std::chrono::seconds(run.timing.warmup_s);
  const auto limit = from + std::chrono::seconds(run.timing.duration_s) + patience;
  while (client.running()) {
    monitor.sample();
    if (auto alive = check_alive(run.bed); !alive) return alive;
    if (Clock::now() > limit)
      return fail(
          fmt::format("iperf3 hangs: it should have ended {} s ago", patience.count() / 1000));
    if (pause && Clock::now() >= from) {
      if (auto done = pause(Milliseconds(sample_every_ms)); !done) return done;
      continue;
    }
    pollfd ended{client.pidfd(), POLLIN, 0};
    ::poll(&ended, 1, sample_every_ms);
  }
  return {};
}

Result<Measurement> measure_iperf3(Run run, const Workload& workload, Direction direction,
                                   const Pause& pause = {}) {
  auto& bed = run.bed;
  for (const auto& name : {workload.client, workload.server}) {
    if (workload.iperf3.udp) break;
    auto preferred = prefer_congestion_control(bed.host(name), workload.iperf3.congestion);
    if (!preferred) return tl::unexpected(preferred.error());
  }
  auto server = start_server(bed, workload, run.commands);
  if (!server) return tl::unexpected(server.error());
  const auto words = iperf3_client(workload.iperf3, workload.address, direction, run.timing);
  run.commands.push_back(fmt::format("{}# {}", workload.client, join_words(words)));
  auto client = Process::start({words, {}}, &bed.host(workload.client));
  if (!client) return tl::unexpected(client.error());
  const auto begin = await_traffic(bed, workload, **client);
  if (!begin) return tl::unexpected(begin.error());
  if (run.while_running) run.while_running();

  Monitor monitor(bed.forwarders());
  if (auto watched = watch_client(run, **client, *begin, monitor, pause); !watched)
    return tl::unexpected(watched.error());
  Measurement measurement;
  measurement.raw = (*client)->output();
  auto traffic = parse_iperf3(measurement.raw);
  if (!traffic) {
    if (auto alive = bed.check(); !alive) return tl::unexpected(alive.error());
    return fail(measurement.raw.empty() ? (*client)->obituary() : traffic.error().message);
  }
  measurement.traffic = std::move(*traffic);
  const auto from = *begin + std::chrono::seconds(run.timing.warmup_s);
  measurement.usage = monitor.usage(from, from + std::chrono::seconds(run.timing.duration_s));
  return measurement;
}

// Lets `probe`, which sends by itself, run for the measured time.
template <class Probe>
Result<Measurement> measure_probe(Run run, Probe& probe) {
  if (run.while_running) run.while_running();
  Monitor monitor(run.bed.forwarders());
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::seconds(run.timing.duration_s);
  for (monitor.sample(); Clock::now() < end; monitor.sample()) {
    if (auto alive = check_alive(run.bed); !alive) return tl::unexpected(alive.error());
    if (auto ran = probe.run(Milliseconds(sample_every_ms)); !ran)
      return tl::unexpected(ran.error());
  }
  Measurement measurement;
  measurement.usage = monitor.usage(begin, Clock::now());
  return measurement;
}

Result<Measurement> with_round_trip(Result<Measurement> measurement, const RoundTripResult& result,
                                    std::string raw) {
  if (!measurement) return measurement;
  if (result.answered == 0) return fail("nothing came back");
  measurement->round_trip = result;
  measurement->raw = std::move(raw);
  return measurement;
}

Result<Measurement> measure_round_trip(Run run, const Workload& workload) {
  auto probe = RoundTrip::open(run.bed.host(workload.client), run.bed.host(workload.server),
                               workload.address, *workload.iperf3.length);
  if (!probe) return tl::unexpected(probe.error());
  run.commands.push_back(
      fmt::format("{}# UDP datagrams of {} bytes to {} port {} and back, one at a time",
                  workload.client, *workload.iperf3.length, workload.address, Iperf3::port));
  auto measurement = measure_probe(run, *probe);
  return with_round_trip(std::move(measurement), probe->result(), probe->to_json());
}

Result<Measurement> measure_ping(Run run, const Workload& workload,
                                 const std::optional<Workload>& beside) {
  auto probe = Ping::open(run.bed.host(workload.client), workload.address, *workload.iperf3.length,
                          workload.ping);
  if (!probe) return tl::unexpected(probe.error());
  run.commands.push_back(fmt::format("{}# echo requests of {} bytes to {}, one every {}",
                                     workload.client, *workload.iperf3.length, workload.address,
                                     config::format_duration(workload.ping.interval)));
  auto measurement = beside ? measure_iperf3(run, *beside, Direction::forward,
                                             [&](Milliseconds time) { return probe->run(time); })
                            : measure_probe(run, *probe);
  if (auto rest = probe->finish(); !rest) return tl::unexpected(rest.error());
  return with_round_trip(std::move(measurement), probe->result(), probe->to_json());
}

Result<Measurement> measure_stream(Run run, const Workload& workload, Direction direction) {
  auto probe =
      Stream::open(run.bed.host(workload.client), run.bed.host(workload.server), workload.address,
                   *workload.iperf3.length, workload.stream_bits_per_s, direction);
  if (!probe) return tl::unexpected(probe.error());
  run.commands.push_back(fmt::format("{}# {} {}", workload.client, describe_stream(workload),
                                     direction == Direction::forward ? "to " : "from ") +
                         workload.address);
  auto measurement = measure_probe(run, *probe);
  if (!measurement) return measurement;
  if (auto rest = probe->finish(); !rest) return tl::unexpected(rest.error());
  const auto result = probe->result();
  if (result.received == 0) return fail("nothing arrived");
  measurement->stream = result;
  auto& traffic = measurement->traffic.emplace();
  traffic.gbps = result.gbps;
  traffic.packets_per_s = result.packets_per_s;
  traffic.lost_percent = result.lost_percent;
  traffic.jitter_ms = result.jitter_ms;
  measurement->raw = probe->to_json();
  return measurement;
}

Result<Measurement> measure_handshakes(Run run, const Workload& workload) {
  const auto& load = workload.handshakes;
  auto probe = Handshakes::open(run.bed.host(workload.client), run.bed.host(workload.server), load);
  if (!probe) return tl::unexpected(probe.error());
  run.commands.push_back(fmt::format("{}# handshakes with {} by {} initiators from {}",
                                     workload.client, load.endpoint.to_string(), load.initiators,
                                     load.sources.to_string()));
  auto measurement = measure_probe(run, *probe);
  if (!measurement) return measurement;
  auto result = probe->result();
  if (const auto& cpu = measurement->usage.cpu_avg; cpu && *cpu > 0)
    result.per_core_s = result.per_s / (*cpu / 100);
  measurement->raw = to_json(result);
  measurement->handshakes = result;
  return measurement;
}

Result<Measurement> measure_with_tool(const Run& run, const Workload& workload,
                                      const std::optional<Workload>& beside, Direction direction) {
  switch (workload.tool) {
    case Workload::Tool::iperf3:
      return measure_iperf3(run, workload, direction);
    case Workload::Tool::round_trip:
      return measure_round_trip(run, workload);
    case Workload::Tool::ping:
      return measure_ping(run, workload, beside);
    case Workload::Tool::stream:
      return measure_stream(run, workload, direction);
    case Workload::Tool::handshakes:
      return measure_handshakes(run, workload);
  }
  return fail("no such tool");
}

}  // namespace

std::string describe_stream(const Workload& workload) {
  return fmt::format("UDP datagrams of {} bytes at {} Mbit/s", *workload.iperf3.length,
                     static_cast<double>(workload.stream_bits_per_s) / 1e6);
}

Result<Measurement> measure(Testbed& bed, const Workload& workload,
                            const std::optional<Workload>& beside, Direction direction,
                            const Iperf3Timing& timing, std::vector<std::string>& commands,
                            const std::function<void()>& while_running) {
  if (workload.iperf3.udp)
    if (auto quiet = await_quiet(bed, workload); !quiet) return tl::unexpected(quiet.error());
  const Run run{bed, timing, commands, while_running};
  auto before = bed.count_packets();
  if (!before) return tl::unexpected(before.error());
  auto measurement = measure_with_tool(run, workload, beside, direction);
  if (!measurement || !*before) return measurement;
  const auto after = bed.count_packets();
  if (!after) return tl::unexpected(after.error());
  measurement->packets = (*after)->since(**before);
  return measurement;
}

}  // namespace warren::bench
