#include "bench/missing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "bench/host.h"
#include "bench/proc_file.h"
#include "bench/process.h"

namespace warren::bench {

namespace {

std::optional<std::string> absence(const std::string& command) {
  const auto words = split_words(command);
  if (!words || !find_program(words->front()).empty()) return std::nullopt;
  return fmt::format("{}no program {}", not_installed, words->front());
}

std::optional<std::string> missing_program(const Scenario& scenario, const Row& row,
                                           const Places& places) {
  if (!row.command.empty()) {
    const auto words = forwarder_command(scenario, row, places);
    if (words && find_program(words->front()).empty())
      return fmt::format("{}no program {}", not_installed, words->front());
  }
  for (const auto& program : scenario.programs) {
    if (std::find(row.programs.begin(), row.programs.end(), program.name) == row.programs.end())
      continue;
    const auto text = with_variables(program.command + " " + program.ready, row);
    for (const auto& [tool, command] : scenario.tools)
      if (text.find(mark(tool)) != std::string::npos)
        if (auto absent = absence(command)) return absent;
  }
  return std::nullopt;
}

// By making one, in a host of its own: the kernel loads the module that it needs.
std::optional<std::string> try_link(const std::string& kind) {
  auto host = Host::create("probe");
  if (!host) return std::nullopt;
  const auto made = run_to_end({{"ip", "link", "add", "probe", "type", kind}, {}}, host->get());
  if (made) return std::nullopt;
  return fmt::format("this kernel has no devices of type {} (no module {})", kind, kind);
}

std::optional<std::string> missing_link(const std::string& kind) {
  static std::map<std::string, std::optional<std::string>> known;
  const auto found = known.find(kind);
  return found != known.end() ? found->second : known[kind] = try_link(kind);
}

}  // namespace

std::optional<std::string> missing_congestion(const Workload& workload) {
  const auto& wanted = workload.iperf3.congestion;
  // Those that every kernel has.
  if (workload.tool != Workload::Tool::iperf3 || workload.iperf3.udp || wanted == "cubic" ||
      wanted == "reno")
    return std::nullopt;
  std::istringstream available(
      read_proc_file("/proc/sys/net/ipv4/tcp_available_congestion_control"));
  for (std::string name; available >> name;)
    if (name == wanted) return std::nullopt;
  return fmt::format("this kernel has no congestion control {0} (modprobe tcp_{0})", wanted);
}

std::optional<std::string> missing_part(const Scenario& scenario, const Row& row,
                                        const Places& places) {
  if (auto program = missing_program(scenario, row, places)) return program;
  return row.kernel_link.empty() ? std::nullopt : missing_link(row.kernel_link);
}

}  // namespace warren::bench
