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

Workload workload_of(const Workload& workload, const Row& row) {
  Workload result = workload;
  if (row.client) result.client = *row.client;
  if (row.server) result.server = *row.server;
  if (row.address) result.address = *row.address;
  return result;
}

Result<Measurement> measure(Testbed& bed, const Workload& workload, Direction direction,
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

std::optional<std::string> missing_program(const Scenario& scenario, const Row& row,
                                           const Places& places) {
  if (row.command.empty()) return std::nullopt;
  const auto words = forwarder_command(scenario, row, places);
  if (!words || !find_program(words->front()).empty()) return std::nullopt;
  return fmt::format("not installed: no program {}", words->front());
}

namespace {

class Session {
 public:
  Session(const Scenario& scenario, const RunOptions& options, const Places& places,
          const std::function<void(const Progress&)>& progress)
      : options_(options), places_(places), report_(progress) {
    result_.scenario = scenario;
    result_.options = options;
    for (std::size_t row = 0; row < scenario.rows.size(); ++row) prepare(row);
  }

  ScenarioResult run() {
    const auto count = result_.scenario.rows.size();
    for (int round = 0; round < options_.repeat; ++round)
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
      for (const auto direction : workload.iperf3.directions) {
        RowResult result;
        result.row = row.name;
        result.workload = workload.name;
        result.direction = direction;
        if (missing && row.peer) result.skipped = missing;
        if (missing && !row.peer) result.failed = missing;
        result_.rows.push_back(std::move(result));
      }
    }
    runnable_.push_back(!missing);
    per_row_ = result_.rows.size() - first_.back();
    if (!missing) progress_.total += static_cast<int>(per_row_) * options_.repeat;
  }

  void run_row(std::size_t index, bool first_round) {
    if (!runnable_[index]) return;
    const Row& row = result_.scenario.rows[index];
    auto bed = Testbed::build(result_.scenario, row, places_);
    if (!bed) return give_up(index, first_[index], bed.error());
    std::size_t slot = first_[index];
    for (const auto& workload : result_.scenario.workloads) {
      for (const auto direction : workload.iperf3.directions) {
        auto& result = result_.rows[slot];
        if (first_round) result.commands = (*bed)->commands();
        std::vector<std::string> commands;
        tell(fmt::format("{}, {}", row.name, direction_name(direction)));
        auto measured = measure(**bed, workload_of(workload, row), direction,
                                {options_.duration_s, options_.warmup_s}, commands);
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
    for (std::size_t i = first_[index]; i < first_[index] + per_row_; ++i)
      if (i >= slot) result_.rows[i].failed = error.message;
    const auto runs = [&](int sum, const RowResult& r) {
      return sum + static_cast<int>(r.runs.size());
    };
    const auto begin = result_.rows.begin() + static_cast<std::ptrdiff_t>(first_[index]);
    const int done = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(per_row_), 0, runs);
    progress_.total -= static_cast<int>(per_row_) * options_.repeat - done;
  }

  void tell(std::string now) {
    if (!report_) return;
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin_).count();
    const double guess = options_.duration_s + options_.warmup_s + overhead_s;
    const double each = progress_.done > 0 ? elapsed / progress_.done : guess;
    progress_.seconds_left = each * (progress_.total - progress_.done);
    progress_.now = std::move(now);
    report_(progress_);
  }

  RunOptions options_;
  const Places& places_;
  const std::function<void(const Progress&)>& report_;
  Progress progress_;
  Clock::time_point begin_ = Clock::now();
  ScenarioResult result_;
  std::vector<std::size_t> first_;  // index in result_.rows of a row's first result
  std::vector<bool> runnable_;
  std::size_t per_row_ = 0;
};

}  // namespace

ScenarioResult run_scenario(const Scenario& scenario, const RunOptions& options,
                            const Places& places,
                            const std::function<void(const Progress&)>& progress) {
  return Session(scenario, options, places, progress).run();
}

}  // namespace warren::bench
