#include "bench/runner.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <sstream>

#include "bench/wait.h"

namespace warren::bench {

namespace {

using Clock = Monitor::Clock;
constexpr int sample_every_ms = 100;
// What a run takes beside its traffic: measured on a slow machine; only the first guess of the time
// that is left.
constexpr double overhead_s = 0.4;

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

}  // namespace

const Workload& first_workload(const Scenario& scenario, const Row& row) {
  const Workload* first = nullptr;
  for (const auto& workload : scenario.workloads) {
    if (!row.runs(workload)) continue;
    if (workload.tool == Workload::Tool::iperf3) return workload;
    if (first == nullptr) first = &workload;
  }
  return *first;
}

Workload workload_of(const Workload& workload, const Row& row) {
  Workload result = workload;
  if (row.client) result.client = *row.client;
  if (row.server) result.server = *row.server;
  if (row.address) result.address = *row.address;
  return result;
}

namespace {

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
  if (workload.tool == Workload::Tool::round_trip)
    return measure_round_trip(bed, workload, timing, commands, while_running);
  return measure_iperf3(bed, workload, direction, timing, commands, while_running);
}

namespace {

class Session {
 public:
  Session(const Scenario& scenario, const Timing& timing, const Places& places,
          const std::function<void(const Progress&)>& progress)
      : timing_(timing), places_(places), report_(progress) {
    result_.scenario = scenario;
    result_.timing = timing;
    for (std::size_t row = 0; row < scenario.rows.size(); ++row) prepare(row);
  }

  ScenarioResult run() {
    const auto count = result_.scenario.rows.size();
    for (int round = 0; round < timing_.repeat; ++round)
      for (std::size_t i = 0; i < count && !result_.interrupted; ++i)
        run_row((i + static_cast<std::size_t>(round)) % count, round == 0);
    return std::move(result_);
  }

 private:
  // The results of a row: one per workload and direction.
  void prepare(std::size_t row_index) {
    const auto& row = result_.scenario.rows[row_index];
    const auto missing = missing_program(result_.scenario, row, places_);
    first_.push_back(result_.rows.size());
    for (const auto& workload : result_.scenario.workloads) {
      if (!row.runs(workload)) continue;
      for (const auto direction : workload.iperf3.directions) {
        RowResult result;
        result.row = row.name;
        result.workload = workload.name;
        result.direction = direction;
        const bool others = row.peer || row.command.empty();
        if (missing && others) result.skipped = missing;
        if (missing && !others) result.failed = missing;
        result_.rows.push_back(std::move(result));
      }
    }
    runnable_.push_back(!missing);
    if (!missing) progress_.total += count_of(row_index) * timing_.repeat;
  }

  // Where the results of the row end; asked while they are made, that of the last one.
  [[nodiscard]] std::size_t end_of(std::size_t row_index) const {
    return row_index + 1 < first_.size() ? first_[row_index + 1] : result_.rows.size();
  }
  [[nodiscard]] int count_of(std::size_t row_index) const {
    return static_cast<int>(end_of(row_index) - first_[row_index]);
  }

  void run_row(std::size_t index, bool first_round) {
    if (!runnable_[index]) return;
    const Row& row = result_.scenario.rows[index];
    auto bed = Testbed::build(result_.scenario, row, places_);
    if (!bed) return give_up(index, first_[index], bed.error());
    std::size_t slot = first_[index];
    for (const auto& workload : result_.scenario.workloads) {
      if (!row.runs(workload)) continue;
      for (const auto direction : workload.iperf3.directions) {
        auto& result = result_.rows[slot];
        if (first_round) result.commands = (*bed)->commands();
        std::vector<std::string> commands;
        tell(fmt::format("{}, {} {}", row.name, workload.name, direction_name(direction)));
        auto measured = measure(**bed, workload_of(workload, row), direction,
                                {timing_.duration_s, timing_.warmup_s}, commands);
        if (first_round)
          result.commands.insert(result.commands.end(), commands.begin(), commands.end());
        if (!measured) return give_up(index, slot, measured.error());
        result.runs.push_back(std::move(*measured));
        ++progress_.done;
        ++slot;
      }
    }
  }

  // A row that failed in one direction has no honest comparison in the other: both say why.
  void give_up(std::size_t index, std::size_t slot, const Error& error) {
    if (interrupted()) {
      result_.interrupted = true;
      return;
    }
    runnable_[index] = false;
    for (std::size_t i = slot; i < end_of(index); ++i) result_.rows[i].failed = error.message;
    const auto runs = [&](int sum, const RowResult& r) {
      return sum + static_cast<int>(r.runs.size());
    };
    const auto begin = result_.rows.begin() + static_cast<std::ptrdiff_t>(first_[index]);
    const int done = std::accumulate(begin, begin + count_of(index), 0, runs);
    progress_.total -= count_of(index) * timing_.repeat - done;
  }

  void tell(std::string now) {
    if (!report_) return;
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin_).count();
    const double guess = timing_.duration_s + timing_.warmup_s + overhead_s;
    const double each = progress_.done > 0 ? elapsed / progress_.done : guess;
    progress_.seconds_left = each * (progress_.total - progress_.done);
    progress_.now = std::move(now);
    report_(progress_);
  }

  Timing timing_;
  const Places& places_;
  const std::function<void(const Progress&)>& report_;
  Progress progress_;
  Clock::time_point begin_ = Clock::now();
  ScenarioResult result_;
  std::vector<std::size_t> first_;  // index in result_.rows of a row's first result
  std::vector<bool> runnable_;
};

}  // namespace

ScenarioResult run_scenario(const Scenario& scenario, const Timing& timing, const Places& places,
                            const std::function<void(const Progress&)>& progress) {
  return Session(scenario, timing, places, progress).run();
}

}  // namespace warren::bench
