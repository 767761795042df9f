#include "bench/monitor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string>

#include "bench/proc_file.h"

namespace warren::bench {

namespace {

constexpr auto max_window = std::chrono::milliseconds(500);

std::vector<std::uint64_t> numbers(std::string_view text) {
  std::vector<std::uint64_t> result;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    std::uint64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error == std::errc{}) {
      result.push_back(value);
      at = next;
    } else {
      // Negative numbers and letters keep their place in the list.
      if (*at != ' ' && *at != '\n') {
        result.push_back(0);
        while (at < end && *at != ' ') ++at;
      } else {
        ++at;
      }
    }
  }
  return result;
}

void add_descendants(std::vector<pid_t>& pids) {
  for (std::size_t i = 0; i < pids.size(); ++i) {
    for (const auto child :
         numbers(read_proc_file(fmt::format("/proc/{0}/task/{0}/children", pids[i]))))
      pids.push_back(static_cast<pid_t>(child));
  }
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<ProcessUsage> parse_process_stat(std::string_view text) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  // Field 3 of proc(5), the state, is the first here; utime, stime and rss are fields 14, 15
  // and 24.
  const auto fields = numbers(text.substr(name_end + 1));
  if (fields.size() < 22) return std::nullopt;
  return ProcessUsage{fields[11] + fields[12], fields[21]};
}

std::optional<SystemTicks> parse_system_stat(std::string_view text) {
  if (!text.starts_with("cpu ")) return std::nullopt;
  const auto line = text.substr(4, text.find('\n') - 4);
  // user nice system idle iowait irq softirq steal; guest time is part of user.
  const auto fields = numbers(line);
  if (fields.size() < 8) return std::nullopt;
  SystemTicks ticks;
  ticks.softirq = fields[6];
  ticks.busy = fields[0] + fields[1] + fields[2] + fields[5] + fields[6];
  ticks.total = ticks.busy + fields[3] + fields[4] + fields[7];
  return ticks;
}

void Monitor::sample() {
  Sample sample{Clock::now(), {}, {}, 0};
  auto pids = programs_;
  add_descendants(pids);
  for (const pid_t pid : pids) {
    if (const auto usage = parse_process_stat(read_proc_file(fmt::format("/proc/{}/stat", pid)))) {
      sample.programs.ticks += usage->ticks;
      sample.programs.rss_pages += usage->rss_pages;
      sample.largest_rss_pages = std::max(sample.largest_rss_pages, usage->rss_pages);
    }
  }
  if (const auto ticks = parse_system_stat(read_proc_file("/proc/stat"))) sample.system = *ticks;
  samples_.push_back(sample);
}

Usage Monitor::usage(Clock::time_point from, Clock::time_point to) const {
  const auto first =
      std::find_if(samples_.begin(), samples_.end(), [&](const auto& s) { return s.at >= from; });
  const auto last = std::find_if(first, samples_.end(), [&](const auto& s) { return s.at > to; });
  const std::span<const Sample> window(first, last);
  Usage usage;
  if (window.size() < 2) return usage;
  const auto& begin = window.front();
  const auto& end = window.back();
  usage.system_cpu =
      percent(end.system.busy - begin.system.busy, end.system.total - begin.system.total);
  usage.system_softirq =
      percent(end.system.softirq - begin.system.softirq, end.system.total - begin.system.total);
  const auto hertz = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double elapsed = std::chrono::duration<double>(end.at - begin.at).count();
  usage.system_cores = static_cast<double>(end.system.busy - begin.system.busy) / hertz / elapsed;
  if (programs_.empty()) return usage;

  const auto mib = static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
  const auto cpu = [&](const Sample& a, const Sample& b) {
    // A descendant that ended takes its ticks along.
    if (b.programs.ticks < a.programs.ticks) return 0.0;
    const double seconds = std::chrono::duration<double>(b.at - a.at).count();
    return 100.0 * static_cast<double>(b.programs.ticks - a.programs.ticks) / hertz / seconds;
  };
  usage.cpu_avg = cpu(begin, end);
  usage.cpu_max = usage.cpu_avg;
  double rss_sum = 0;
  std::uint64_t rss_max = 0;
  std::uint64_t rss_largest = 0;
  std::size_t earlier = 0;
  for (std::size_t i = 0; i < window.size(); ++i) {
    rss_sum += static_cast<double>(window[i].programs.rss_pages);
    rss_max = std::max(rss_max, window[i].programs.rss_pages);
    rss_largest = std::max(rss_largest, window[i].largest_rss_pages);
    while (earlier + 1 < i && window[i].at - window[earlier + 1].at >= max_window) ++earlier;
    if (window[i].at - window[earlier].at >= max_window)
      usage.cpu_max = std::max(*usage.cpu_max, cpu(window[earlier], window[i]));
  }
  usage.rss_avg_mib = rss_sum / static_cast<double>(window.size()) * mib;
  usage.rss_max_mib = static_cast<double>(rss_max) * mib;
  usage.rss_largest_mib = static_cast<double>(rss_largest) * mib;
  return usage;
}

}  // namespace warren::bench
