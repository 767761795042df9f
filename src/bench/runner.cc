#include "bench/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bench/missing.h"
#include "bench/wait.h"

namespace warren::bench {

const Workload& first_workload(const Scenario& scenario, const Row& row) {
  const auto runs = [&](const Workload& workload) { return row.runs(workload); };
  const auto with_iperf3 = [&](const Workload& workload) {
    return runs(workload) && workload.tool == Workload::Tool::iperf3;
  };
  const auto& all = scenario.workloads;
  const auto first = std::ranges::find_if(all, with_iperf3);
  return first != all.end() ? *first : *std::ranges::find_if(all, runs);
}

std::optional<Workload> workload_beside(const Scenario& scenario, const Workload& workload,
                                        const Row& row) {
  if (workload.beside.empty()) return std::nullopt;
  return workload_of(named(scenario.workloads, workload.beside), row);
}

Workload workload_of(const Workload& workload, const Row& row) {
  Workload result = workload;
  if (row.client) result.client = *row.client;
  if (row.server) result.server = *row.server;
  if (row.address) result.address = *row.address;
  return result;
}

namespace {

using Clock = std::chrono::steady_clock;
// What a run takes beside its traffic: only the first guess of the time that is left.
constexpr double overhead_s = 0.4;

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
    for (int round = 0; round < timing_.repeat; ++round)
      for (const auto& workload : result_.scenario.workloads) run_workload(workload, round);
    return std::move(result_);
  }

 private:
  // The results of a row: one per workload and direction.
  void prepare(std::size_t row_index) {
    const auto& row = result_.scenario.rows[row_index];
    const auto missing = missing_part(result_.scenario, row, places_);
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
        if (!missing) result.skipped = missing_congestion(workload);
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
  // Those that are run.
  [[nodiscard]] int count_of(std::size_t row_index) const {
    int count = 0;
    for (auto slot = first_[row_index]; slot < end_of(row_index); ++slot)
      count += result_.rows[slot].skipped ? 0 : 1;
    return count;
  }

  void run_workload(const Workload& workload, int round) {
    const auto count = result_.scenario.rows.size();
    for (std::size_t i = 0; i < count && !result_.interrupted; ++i) {
      const auto index = (i + static_cast<std::size_t>(round)) % count;
      run_row(round % 2 == 0 ? index : count - 1 - index, workload, round);
    }
  }

  void run_row(std::size_t index, const Workload& workload, int round) {
    const Row& row = result_.scenario.rows[index];
    if (!runnable_[index] || !row.runs(workload)) return;
    auto bed = Testbed::build(result_.scenario, row, places_);
    if (!bed) return give_up(index, bed.error(), round);
    for (std::size_t slot = first_[index]; slot < end_of(index); ++slot) {
      auto& result = result_.rows[slot];
      if (result.workload != workload.name || result.skipped) continue;
      std::vector<std::string> commands;
      tell(fmt::format("{}, {} {}", row.name, workload.name, direction_name(result.direction)));
      auto measured = measure(**bed, workload_of(workload, row),
                              workload_beside(result_.scenario, workload, row), result.direction,
                              {timing_.duration_s, timing_.warmup_s}, commands);
      if (round == 0) {
        result.commands = (*bed)->commands();
        result.commands.insert(result.commands.end(), commands.begin(), commands.end());
      }
      if (!measured) return give_up(index, measured.error(), round);
      result.runs.push_back(std::move(*measured));
      ++progress_.done;
    }
  }

  // A row that failed has no honest comparison in what is left of the round: all of that says why.
  void give_up(std::size_t index, const Error& error, int round) {
    if (interrupted()) {
      result_.interrupted = true;
      return;
    }
    runnable_[index] = false;
    for (std::size_t i = first_[index]; i < end_of(index); ++i)
      if (!result_.rows[i].skipped &&
          result_.rows[i].runs.size() <= static_cast<std::size_t>(round))
        result_.rows[i].failed = error.message;
    const auto runs = [&](int sum, const RowResult& r) {
      return sum + static_cast<int>(r.runs.size());
    };
    const auto begin = result_.rows.begin() + static_cast<std::ptrdiff_t>(first_[index]);
    const auto end = result_.rows.begin() + static_cast<std::ptrdiff_t>(end_of(index));
    const int done = std::accumulate(begin, end, 0, runs);
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
