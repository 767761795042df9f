/// What programs and the machine spend while a workload runs, sampled from /proc.
///
/// Sources: proc(5), /proc/PID/stat (utime, stime, rss) and /proc/stat.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace warren::bench {

struct Usage {
  /// Of the watched programs together, in percent of one core; absent where no program is watched.
  std::optional<double> cpu_avg;
  std::optional<double> cpu_max;  ///< over any half second
  std::optional<double> rss_avg_mib;
  std::optional<double> rss_max_mib;
  std::optional<double> rss_largest_mib;  ///< the most that a single one of them had
  double system_cpu = 0;      ///< of everything on the machine, in percent of all its cores
  double system_cores = 0;    ///< the same as a number of cores
  double system_softirq = 0;  ///< the part of it that is softirq, where the kernel receives packets
};

/// Ticks (USER_HZ) and pages of one process.
struct ProcessUsage {
  std::uint64_t ticks = 0;
  std::uint64_t rss_pages = 0;
};

/// Reads the text of /proc/PID/stat, whose second field may contain anything.
[[nodiscard]] std::optional<ProcessUsage> parse_process_stat(std::string_view text);

struct SystemTicks {
  std::uint64_t busy = 0;  ///< softirq included
  std::uint64_t softirq = 0;
  std::uint64_t total = 0;
};

/// Reads the first line of /proc/stat.
[[nodiscard]] std::optional<SystemTicks> parse_system_stat(std::string_view text);

class Monitor {
 public:
  using Clock = std::chrono::steady_clock;

  /// Watches the processes and their descendants; all of them together are "the forwarder".
  explicit Monitor(std::vector<pid_t> programs) : programs_(std::move(programs)) {}

  void sample();
  /// Over the samples taken between the two times.
  [[nodiscard]] Usage usage(Clock::time_point from, Clock::time_point to) const;

 private:
  struct Sample {
    Clock::time_point at;
    ProcessUsage programs;
    SystemTicks system;
    std::uint64_t largest_rss_pages = 0;  // of one program
  };

  std::vector<pid_t> programs_;
  std::vector<Sample> samples_;
};

}  // namespace warren::bench
