// The programs that go with Warren, for `warren doctor`.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "cli/doctor_probes.h"

namespace warren::cli {

namespace {

std::string find_on_path(const std::string& program) {
  const char* variable = std::getenv("PATH");
  const std::string path = std::string(variable == nullptr ? "" : variable) + ":/usr/sbin:/sbin";
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find(':', begin), path.size());
    const auto candidate = path.substr(begin, end - begin) + "/" + program;
    if (end > begin && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return "";
}

}  // namespace

std::vector<Check> probe_tools() {
  struct Tool {
    const char* program;
    const char* package;
    const char* why;
  };
  constexpr std::array<Tool, 11> tools = {
      {{"ip", "iproute2", "to look at what Warren made"},
       {"iperf3", "iperf3", "`warren bench` measures throughput with it"},
       {"qperf", "qperf", "`warren bench` measures latency with it"},
       {"ping", "iputils-ping", "`warren bench` measures round trips with it"},
       {"mtr", "mtr-tiny", "shows the way of packets hop by hop"},
       {"tcpdump", "tcpdump", "shows packets"},
       {"ethtool", "ethtool", "shows and sets the offloads of devices"},
       {"wg", "wireguard-tools", "makes keys, and shows WireGuard tunnels"},
       {"wireguard-go", "wireguard-go", "`warren bench icmp` measures WireGuard with it"},
       {"nft", "nftables", "`warren bench icmp` makes a host that masquerades with it"},
       {"perf", "linux-perf", "`warren bench --flamegraph` samples stacks with it"}}};
  std::vector<Check> checks;
  for (const auto& tool : tools) {
    const auto found = find_on_path(tool.program);
    checks.push_back({"tools", tool.program, found.empty() ? State::missing : State::ok, found,
                      tool.why, found.empty() ? fmt::format("apt install {}", tool.package) : ""});
  }
  return checks;
}

}  // namespace warren::cli
