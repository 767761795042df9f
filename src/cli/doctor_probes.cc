#include "cli/doctor_probes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include <warren/fd.h>
#include <warren/loop.h>

#include "linux/mounts.h"

namespace warren::cli {

namespace {

// From newer headers than Debian's.
constexpr unsigned tun_f_uso4 = 0x20;
constexpr unsigned tun_f_uso6 = 0x40;

std::string read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

bool refused(int error) { return error == EPERM || error == EACCES; }

State state_of(int error) {
  if (error == 0) return State::ok;
  return refused(error) ? State::restricted : State::missing;
}

std::string detail_of(int error) { return error == 0 ? "" : std::strerror(error); }

// Runs `probe` (an errno value, or 0) in a child with namespaces of its own, so that nothing of
// this machine is touched.
int in_namespaces(int flags, const std::function<int()>& probe) {
  const auto child = ::fork();
  if (child < 0) return errno;
  if (child == 0) ::_exit(::unshare(flags) != 0 ? errno : probe());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int make_tun(unsigned offloads) {
  const Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd) return errno;
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return errno;
  return ::ioctl(fd.get(), TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0 ? 0 : errno;
}

Check probe_tun() {
  Check check{"devices", "TUN/TAP", State::ok, "", "every [tun.NAME] is one", "", true};
  int error =
      in_namespaces(CLONE_NEWNET, [] { return make_tun(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6); });
  if (error == EPERM) error = ::access("/dev/net/tun", F_OK) == 0 ? EPERM : ENOENT;
  check.state = state_of(error);
  check.detail = detail_of(error);
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    check.fix = "modprobe tun; in a container, pass /dev/net/tun into it";
  else if (refused(error))
    check.fix = "run as root, or with CAP_NET_ADMIN";
  return check;
}

Check probe_uso() {
  const int error = in_namespaces(CLONE_NEWNET, [] {
    return make_tun(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | tun_f_uso4 | tun_f_uso6);
  });
  return {"devices",
          "UDP segmentation on TUN",
          state_of(error),
          detail_of(error),
          "UDP super-packets pass whole; without it UDP costs more",
          error == EINVAL ? "needs kernel 6.2" : ""};
}

Check probe_namespaces() {
  const int error = in_namespaces(CLONE_NEWNET | CLONE_NEWNS, [] { return 0; });
  return {"kernel",
          "network and mount namespaces",
          state_of(error),
          detail_of(error),
          "`warren bench` makes each host from them",
          refused(error) ? "run as root" : ""};
}

Check probe_bpf() {
  // The smallest program: return 0.
  std::array<bpf_insn, 2> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[1].code = BPF_JMP | BPF_EXIT;
  static constexpr char license[] = "GPL";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  attributes.insns = reinterpret_cast<std::uint64_t>(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = reinterpret_cast<std::uint64_t>(&license[0]);
  const Fd fd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  const int error = fd ? 0 : errno;
  return {"eBPF",
          "load programs",
          state_of(error),
          detail_of(error),
          "the kernel's fast paths between devices",
          refused(error) ? "run as root, or with CAP_BPF and CAP_NET_ADMIN" : ""};
}

Check probe_btf() {
  const bool there = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  return {"eBPF",
          "BTF",
          there ? State::ok : State::missing,
          there ? "/sys/kernel/btf/vmlinux" : "",
          "programs fit kernels that they were not built on",
          there ? "" : "a kernel with CONFIG_DEBUG_INFO_BTF, such as Debian's"};
}

// Asks for a clsact queueing discipline on the loopback device of the namespace that we are in.
int add_clsact() {
  struct {
    nlmsghdr header;
    tcmsg message;
    rtattr attribute;
    std::array<char, 8> kind;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWQDISC;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.message.tcm_family = AF_UNSPEC;
  request.message.tcm_ifindex = 1;
  request.message.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0U);
  request.message.tcm_parent = TC_H_CLSACT;
  request.attribute.rta_type = TCA_KIND;
  request.attribute.rta_len = sizeof request.attribute + sizeof "clsact";
  std::memcpy(request.kind.data(), "clsact", sizeof "clsact");
  const Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd || ::send(fd.get(), &request, sizeof request, 0) < 0) return errno;
  struct {
    nlmsghdr header;
    nlmsgerr error;
    std::array<char, 256> more;
  } answer{};
  if (::recv(fd.get(), &answer, sizeof answer, 0) < 0) return errno;
  return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

Check probe_clsact() {
  const int error = in_namespaces(CLONE_NEWNET, add_clsact);
  return {"eBPF",
          "tc clsact",
          state_of(error),
          detail_of(error),
          "attaches programs to devices",
          refused(error)    ? "run as root"
          : error == ENOENT ? "a kernel with CONFIG_NET_SCH_INGRESS"
                            : ""};
}

Check probe_xdp() {
  const Fd fd(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int error = fd ? 0 : errno;
  return {"eBPF",
          "AF_XDP",
          state_of(error),
          detail_of(error),
          "packets from a network card without the kernel's stack",
          refused(error)          ? "run as root"
          : error == EAFNOSUPPORT ? "a kernel with CONFIG_XDP_SOCKETS"
                                  : ""};
}

Check probe_uring() {
  const auto loop = Loop::create(Loop::Backend::io_uring);
  Check check{"kernel",
              "io_uring with multishot read",
              State::ok,
              "",
              "the fastest way to read devices; epoll otherwise",
              ""};
  if (loop) return check;
  check.state = refused(loop.error().code) ? State::restricted : State::missing;
  check.detail = loop.error().message;
  check.fix = read_line("/proc/sys/kernel/io_uring_disabled") > "0"
                  ? "sysctl kernel.io_uring_disabled=0"
                  : "needs kernel 6.7";
  return check;
}

Check probe_privileges() {
  std::ifstream in("/proc/self/status");
  std::uint64_t effective = 0;
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("CapEff:")) effective = std::strtoull(line.c_str() + 7, nullptr, 16);
  constexpr unsigned net_admin = 12;
  const bool has = ((effective >> net_admin) & 1U) != 0;
  return {"kernel",
          "CAP_NET_ADMIN",
          has ? State::ok : State::restricted,
          has ? "" : "this user has it not",
          "to make and configure devices",
          has ? "" : "run as root, or as a service: systemctl start warren@NAME",
          true};
}

Check probe_hugepages() {
  std::uint64_t pages = 0;
  std::string detail;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    const auto count = std::strtoull(read_line(entry.path() / "nr_hugepages").c_str(), nullptr, 10);
    pages += count;
    detail += fmt::format("{}{}: {}", detail.empty() ? "" : ", ", entry.path().filename().string(),
                          count);
  }
  if (detail.empty())
    return {"memory",
            "hugepages",
            State::missing,
            "",
            "memory that virtual machines share with vhost-user ports",
            "a kernel with CONFIG_HUGETLBFS"};
  return {"memory",
          "hugepages",
          pages > 0 ? State::ok : State::off,
          detail,
          "memory that virtual machines share with vhost-user ports",
          pages > 0 ? "" : "sysctl vm.nr_hugepages=512"};
}

Check probe_vhost() {
  const Fd fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
  const int error = fd ? 0 : errno;
  return {"devices",
          "vhost-net",
          state_of(error),
          detail_of(error),
          "the kernel's ports for virtual machines, to compare with",
          refused(error) ? "run as root" : (error != 0 ? "modprobe vhost_net" : "")};
}

Check probe_congestion_control() {
  const auto current = read_line("/proc/sys/net/ipv4/tcp_congestion_control");
  const auto available = read_line("/proc/sys/net/ipv4/tcp_available_congestion_control");
  const bool cubic = available.find("cubic") != std::string::npos;
  return {"kernel",
          "TCP congestion control",
          cubic ? State::ok : State::missing,
          fmt::format("{} (available: {})", current, available),
          "`warren bench` compares with cubic",
          cubic ? "" : "modprobe tcp_cubic"};
}

Check probe_cgroup2() {
  const auto mounted = Mounts::of_machine().find("cgroup2");
  return {"kernel",
          "cgroup v2",
          mounted ? State::ok : State::missing,
          mounted ? *mounted : "not mounted",
          "stops what `warren icmp` should carry on interfaces where it is not attached",
          mounted ? "" : "mount -t cgroup2 none /sys/fs/cgroup"};
}

Check describe_kernel() {
  utsname name{};
  ::uname(&name);
  return {"kernel", "release", State::ok, fmt::format("{} {}", name.release, name.machine), "", ""};
}

}  // namespace

std::vector<Check> probe_machine() {
  std::vector<Check> checks = {describe_kernel(),
                               probe_privileges(),
                               probe_namespaces(),
                               probe_uring(),
                               probe_congestion_control(),
                               probe_cgroup2(),
                               probe_tun(),
                               probe_uso(),
                               probe_vhost(),
                               probe_bpf(),
                               probe_btf(),
                               probe_clsact(),
                               probe_xdp(),
                               probe_hugepages()};
  for (auto& tool : probe_tools()) checks.push_back(std::move(tool));
  return checks;
}

}  // namespace warren::cli
