#include <fmt/format.h>
#include <sys/utsname.h>
#include <zlib.h>

#include <array>
#include <map>
#include <memory>
#include <optional>

#include "cli/doctor_probes.h"

namespace warren::cli {

namespace {

using Options = std::map<std::string, std::string, std::less<>>;

// The lines `CONFIG_X=value` of a file; zlib reads it whether it is compressed or not.
std::optional<Options> read_options(const std::string& path) {
  struct Close {
    void operator()(gzFile_s* file) const { ::gzclose(file); }
  };
  const std::unique_ptr<gzFile_s, Close> file(::gzopen(path.c_str(), "rb"));
  if (!file) return std::nullopt;
  Options options;
  std::array<char, 4096> buffer;
  while (::gzgets(file.get(), buffer.data(), static_cast<int>(buffer.size())) != nullptr) {
    const std::string line = buffer.data();
    const auto equals = line.find('=');
    if (!line.starts_with("CONFIG_") || equals == std::string::npos) continue;
    options[line.substr(7, equals - 7)] =
        line.substr(equals + 1, line.find_last_not_of('\n') - equals);
  }
  if (options.empty()) return std::nullopt;
  return options;
}

struct Option {
  const char* name;
  const char* why;
};

constexpr std::array<Option, 25> wanted = {{
    {"TUN", "TUN and TAP devices"},
    {"VETH", "the wires of `warren bench`"},
    {"NET_NS", "the hosts of `warren bench`"},
    {"IO_URING", "the fastest way to read devices"},
    {"BPF_SYSCALL", "eBPF programs"},
    {"BPF_JIT", "eBPF programs at full speed"},
    {"DEBUG_INFO_BTF", "eBPF programs that fit kernels they were not built on"},
    {"NET_CLS_ACT", "tc actions"},
    {"NET_CLS_BPF", "eBPF programs in tc"},
    {"NET_SCH_INGRESS", "tc clsact"},
    {"XDP_SOCKETS", "AF_XDP"},
    {"NF_TABLES", "nftables, for address translation"},
    {"NF_NAT", "address translation in the kernel"},
    {"BRIDGE", "the kernel's switch, to compare with"},
    {"VXLAN", "the kernel's VXLAN, to compare with"},
    {"WIREGUARD", "the kernel's WireGuard, to compare with"},
    {"VLAN_8021Q", "VLAN devices"},
    {"BRIDGE_VLAN_FILTERING", "VLANs on the kernel's switch"},
    {"NET_SCH_NETEM", "the kernel's impairment; Warren has its own"},
    {"NET_SCH_FQ", "pacing"},
    {"TCP_CONG_CUBIC", "the congestion control of the benchmark"},
    {"TCP_CONG_BBR", "congestion control for lossy lines"},
    {"VHOST_NET", "the kernel's ports for virtual machines, to compare with"},
    {"HUGETLBFS", "memory shared with virtual machines"},
    {"DUMMY", "devices that hold addresses"},
}};

}  // namespace

std::vector<Check> probe_kernel_options() {
  utsname name{};
  ::uname(&name);
  const std::string release = name.release;
  std::optional<Options> options;
  std::string source;
  for (const auto& path : {std::string("/proc/config.gz"), "/boot/config-" + release,
                           "/lib/modules/" + release + "/config"}) {
    options = read_options(path);
    source = path;
    if (options) break;
  }
  if (!options)
    return {{"kernel options", "configuration", State::missing,
             "neither /proc/config.gz nor /boot/config-" + release,
             "says what the kernel was built with",
             "modprobe configs, or install the kernel's package"}};
  std::vector<Check> checks;
  for (const auto& option : wanted) {
    const auto found = options->find(option.name);
    const bool there = found != options->end();
    checks.push_back(
        {"kernel options", fmt::format("CONFIG_{}", option.name),
         there ? State::ok : State::missing,
         there ? fmt::format("{} ({})", found->second, source) : fmt::format("not in {}", source),
         option.why, there ? "" : "a kernel with this option"});
  }
  return checks;
}

}  // namespace warren::cli
