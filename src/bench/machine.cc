#include "bench/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bench/monitor.h"
#include "bench/process.h"
#include "linux/ethtool.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The value of the first line "KEY<separator>VALUE" whose key is `key`.
std::string value_of(const std::string& path, std::string_view key, char separator) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const auto at = line.find(separator);
    if (at == std::string::npos) continue;
    const auto begin = line.find_first_not_of(" \t\"", at + 1);
    if (begin == std::string::npos) return {};
    return line.substr(begin, line.find_last_not_of(" \t\"") + 1 - begin);
  }
  return {};
}

std::map<std::string, std::string> mitigations() {
  std::map<std::string, std::string> result;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/devices/system/cpu/vulnerabilities", error)) {
    auto state = first_line(entry.path());
    if (state != "Not affected") result[entry.path().filename()] = std::move(state);
  }
  return result;
}

std::string version_of(const std::string& program, const std::string& flag) {
  if (find_program(program).empty()) return "not installed";
  auto process = Process::start({{program, flag}, {}}, nullptr);
  if (!process) return process.error().message;
  while ((*process)->running()) ::usleep(1000);
  const auto output = (*process)->output();
  return output.substr(0, output.find('\n'));
}

std::string memory_size() {
  const auto kib = std::strtod(value_of("/proc/meminfo", "MemTotal", ':').c_str(), nullptr);
  return fmt::format("{:.1f} GiB", kib / (1024.0 * 1024.0));
}

// Those of the device that bear on throughput, in the calling thread's namespace.
std::string offloads_of(const char* device) {
  const auto features = ethtool::features(device);
  if (!features) return features.error().message;
  std::string on;
  for (const auto& [name, enabled] : *features) {
    const bool relevant = name.find("segmentation") != std::string::npos ||
                          name.find("checksum") != std::string::npos ||
                          name.find("-gro") != std::string::npos ||
                          name.find("scatter") != std::string::npos;
    if (enabled && relevant) on += (on.empty() ? "" : " ") + name;
  }
  return on.empty() ? "none" : on;
}

std::string tun_offloads() {
  const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) return fmt::format("/dev/net/tun: {}", std::strerror(errno));
  ifreq request{};
  std::strcpy(request.ifr_name, "tun0");
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0)
    return fmt::format("make a TUN device: {}", std::strerror(errno));
  if (::ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) return "none";
  return offloads_of("tun0");
}

// What the kernel switches on by itself for the devices of a test bed, tried in a namespace of its
// own.
std::map<std::string, std::string> offloads() {
  auto netns = create_netns();
  if (!netns) return {};
  auto scope = NetnsScope::enter(netns->get());
  auto socket = netlink::Socket::open();
  if (!scope || !socket) return {};
  std::map<std::string, std::string> result;
  netlink::VethConfig veth;
  veth.name = "veth0";
  veth.peer_name = "veth1";
  if (const auto made = socket->create_veth(veth); made)
    result["veth"] = offloads_of("veth0");
  else
    result["veth"] = made.error().message;
  result["tun"] = tun_offloads();
  return result;
}

// Over a third of a second, in which this process does nothing.
double busy_percent() {
  constexpr int window_ms = 300;
  Monitor monitor({});
  const auto begin = Monitor::Clock::now();
  monitor.sample();
  ::poll(nullptr, 0, window_ms);
  monitor.sample();
  return monitor.usage(begin, Monitor::Clock::now()).system_cpu;
}

int usable_cores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.cpu = value_of("/proc/cpuinfo", "model name", ':');
  machine.cores = usable_cores();
  machine.cores_total = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  machine.memory = memory_size();
  const auto flags = value_of("/proc/cpuinfo", "flags", ':');
  machine.hypervisor = flags.find("hypervisor") != std::string::npos ? "yes" : "no";
  utsname name{};
  ::uname(&name);
  machine.kernel = fmt::format("{} {}", name.release, name.version);
  machine.distribution = value_of("/etc/os-release", "PRETTY_NAME", '=');
  machine.clock_source =
      first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  machine.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  machine.mitigations = mitigations();
  machine.congestion_available = first_line("/proc/sys/net/ipv4/tcp_available_congestion_control");
  machine.offloads = offloads();
  for (const auto* tool : {"iperf3", "perf"}) machine.tools[tool] = version_of(tool, "--version");
  machine.busy_percent = busy_percent();
  machine.tools["warren"] = WARREN_VERSION;
  return machine;
}

}  // namespace warren::bench
