#include "bench/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/log.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

// What the init of a host says to its creator: a failed step with its errno, or an empty step for
// "ready".
struct Report {
  int error = 0;
  char step[60] = {};
  int cgroup_error = 0;
};

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

bool lo_up() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

// Devices get no link-local address, so the kernel does not solicit routers on them: such packets would reach forwarders
// at a moment of its own, and some end when they meet one before both devices are up. Addresses of a scenario are added
// all the same. Where the kernel has no IPv6 there is nothing to quieten.
void quieten_ipv6() {
  const Fd file(::open("/proc/sys/net/ipv6/conf/default/addr_gen_mode", O_WRONLY | O_CLOEXEC));
  constexpr auto none = "1";
  if (file && ::write(file.get(), none, 1) != 1) return;
}

bool make_file(const std::string& path) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const Fd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  return static_cast<bool>(file);
}

// Distributions often make /etc/resolv.conf a link into /run. `real` is where it led before /run
// was covered.
bool own_resolv_conf(const std::string& real) {
  if (real.empty()) return true;
  if (real.starts_with("/run/")) return make_file(real);
  constexpr auto own = "/run/resolv.conf";
  return make_file(own) && ::mount(own, real.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

std::string real_resolv_conf() {
  std::error_code error;
  const auto status = std::filesystem::symlink_status("/etc/resolv.conf", error);
  if (error || !std::filesystem::exists(status)) return {};
  return std::filesystem::weakly_canonical("/etc/resolv.conf", error).string();
}

// The name of the step that failed, with errno set; nullptr if none did.
const char* furnish() {
  const auto resolv_conf = real_resolv_conf();
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return "make the mounts private";
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return "mount /proc";
  // With all that is mounted below it, which would otherwise still be listed, but be out of reach.
  ::umount2("/sys", MNT_DETACH);
  if (::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return "mount /sys";
  // What is pinned or attached there goes with the host. A kernel without BPF or cgroup v2 has
  // neither folder, and no need of it.
  ::mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700");
  ::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  if (::mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) return "mount /run";
  if (!own_resolv_conf(resolv_conf)) return "mount /etc/resolv.conf";
  if (!lo_up()) return "set lo up";
  quieten_ipv6();
  return nullptr;
}

// The init of a host. It has no work but to be there; the kernel reaps its orphans because SIGCHLD
// is ignored.
[[noreturn]] void init_main(int report_fd, const HostCgroup* cgroup) {
  ::prctl(PR_SET_NAME, "warren-host");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();
  // Descriptors of other hosts would keep these alive.
  ::dup2(report_fd, 3);
  ::syscall(SYS_close_range, 4U, ~0U, 0U);
  ::signal(SIGCHLD, SIG_IGN);
  Report report;
  // The new namespace's root is the cgroup that the process is in.
  if (cgroup != nullptr && (!cgroup->enter() || ::unshare(CLONE_NEWCGROUP) != 0))
    report.cgroup_error = errno;
  if (const char* step = furnish()) {
    report.error = errno;
    std::strncpy(report.step, step, sizeof report.step - 1);
  }
  // A creator that died before PR_SET_PDEATHSIG is gone from the other end, and the write fails.
  if (::write(3, &report, sizeof report) != sizeof report || report.error != 0) ::_exit(1);
  ::close(3);
  for (;;) ::pause();
}

Result<Report> await_init(const std::string& name, int report_fd) {
  Report report;
  const auto got = ::read(report_fd, &report, sizeof report);
  if (got != sizeof report)
    return fail(fmt::format("host {}: its init died while it was set up", name));
  if (report.error != 0)
    return fail_errno(fmt::format("host {}: {}", name, report.step), report.error);
  return report;
}

void say_there_is_no_cgroup(const std::string& name, const Error& error) {
  log::info(
      "host {} has no cgroup of its own, so what one host attaches to the root cgroup runs for all "
      "of them: {}",
      name, error.message);
}

}  // namespace

Result<std::unique_ptr<Host>> Host::create(std::string name) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(fmt::format("host {}: make a pipe", name));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  auto cgroup = HostCgroup::create(name);
  if (!cgroup) say_there_is_no_cgroup(name, cgroup.error());
  constexpr unsigned long flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | SIGCHLD;
  // The system call, because fork() cannot make namespaces and unshare() would move this process's
  // later children.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0UL));
  if (pid == 0) init_main(write_end.get(), cgroup ? &*cgroup : nullptr);
  if (pid < 0) {
    if (errno == EPERM) {
      return fail(
          fmt::format(
              "host {}: make its namespaces: Operation not permitted: run warren bench as root",
              name),
          EPERM);
    }
    return fail_errno(fmt::format("host {}: make its namespaces", name));
  }
  write_end.close();
  std::unique_ptr<Host> host(new Host(std::move(name), pid));
  const auto ready = await_init(host->name_, read_end.get());
  if (!ready) return tl::unexpected(ready.error());
  if (cgroup && ready->cgroup_error == 0)
    host->cgroup_.emplace(std::move(*cgroup));
  else if (cgroup)
    say_there_is_no_cgroup(host->name_, {std::strerror(ready->cgroup_error), ready->cgroup_error});
  host->pidfd_ = Fd(open_pidfd(pid));
  if (!host->pidfd_) return fail_errno(fmt::format("host {}: open its init", host->name_));
  auto netns = open_netns(fmt::format("/proc/{}/ns/net", pid));
  if (!netns) return fail_in(fmt::format("host {}", host->name_), netns.error());
  host->netns_ = std::move(*netns);
  return host;
}

Host::~Host() {
  ::kill(pid_, SIGKILL);
  // The kernel ends an init only after everybody in its namespace was reaped. Programs that their
  // Process has not reaped yet would make an unbounded wait here a deadlock; with them the init
  // stays a zombie of this process.
  constexpr int limit_ms = 500;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (!pidfd_ || ::poll(&ended, 1, limit_ms) > 0) ::waitpid(pid_, nullptr, 0);
}

std::string Host::path(const std::string& file) const {
  return fmt::format("/proc/{}/root{}", pid_, file);
}

// A bind mount has to be made by a process that is in the host, and its /proc shows the host's
// processes only: hence a child, which finds the other's namespace as its own descriptor.
Result<> Host::introduce(const Host& other) {
  const auto target = "/run/netns/" + other.name_;
  const auto source = fmt::format("/proc/self/fd/{}", other.netns());
  const pid_t child = fork_into(*this);
  if (child == 0) {
    const bool done = enter_host(*this) && make_file(target) &&
                      ::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0;
    ::_exit(done ? 0 : errno);
  }
  if (child < 0) return fail_errno(fmt::format("host {}: fork", name_));
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail_errno(fmt::format("host {}: mount {}", name_, target),
                      WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
  }
  return {};
}

pid_t fork_into(const Host& host) {
  const Fd home(::open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC));
  if (!home || ::setns(host.pidfd(), CLONE_NEWPID) != 0) return -1;
  const pid_t pid = ::fork();
  if (pid == 0) return 0;
  const int error = errno;
  // Later children of this process must not end up in the host; going home can only fail for want
  // of privileges that the way there needed too.
  if (::setns(home.get(), CLONE_NEWPID) != 0) ::abort();
  errno = error;
  return pid;
}

bool enter_host(const Host& host) {
  int namespaces = CLONE_NEWNET | CLONE_NEWNS;
  if (host.cgroup()) {
    if (!host.cgroup()->enter()) return false;
    namespaces |= CLONE_NEWCGROUP;
  }
  return ::setns(host.pidfd(), namespaces) == 0;
}

}  // namespace warren::bench
