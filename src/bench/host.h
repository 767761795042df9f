/// A host of a scenario, on this machine: a network, a mount and a PID namespace of its own.
///
/// Theory of operation. A host is one process, the init of its PID namespace. The namespaces live
/// as long as it does, and it dies with the process that made it (PR_SET_PDEATHSIG), and takes
/// every program of the host along, because that is what the kernel does when an init dies. So
/// nothing is left behind, not even after `kill -9`, and nothing has a name that another program
/// could stumble over: `ip netns` does not show it.
///
/// It also has a cgroup of its own where this machine's can be changed (HostCgroup). What warren
/// itself does in a host's network, such as to time round trips, is not in there.
///
///     warren ──┬── init of "left"    own /proc /sys /run /etc/resolv.conf, lo up
///              │     └ iperf3 -s     started by warren inside (setns), killed with its init
///              └── init of "right"
///
/// Hosts that have been introduced see each other as /run/netns/NAME in their own /run, so a
/// network file that runs in one host may place a device in another with `netns = "NAME"`.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "bench/host_cgroup.h"

namespace warren::bench {

class Host {
 public:
  /// Needs root. Keep it in the thread that made it: the host dies with that thread.
  [[nodiscard]] static Result<std::unique_ptr<Host>> create(std::string name);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  /// Kills every program of the host. Destroy their Process objects first: those reap.
  ~Host();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Of its init, as the creator's PID namespace counts: /proc/PID/net is the host's network,
  /// /proc/PID/root its files.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  [[nodiscard]] int netns() const noexcept { return netns_.get(); }
  [[nodiscard]] const std::optional<HostCgroup>& cgroup() const noexcept { return cgroup_; }

  /// Shows `other` to the programs of this host as /run/netns/NAME.
  Result<> introduce(const Host& other);

  /// The host's file, as this process can open it.
  [[nodiscard]] std::string path(const std::string& file) const;

 private:
  Host(std::string name, pid_t pid) : name_(std::move(name)), pid_(pid) {}

  std::string name_;
  std::optional<HostCgroup> cgroup_;
  pid_t pid_;
  Fd pidfd_;
  Fd netns_;
};

using Hosts = std::map<std::string, std::unique_ptr<Host>>;

/// Forks a child into the PID namespace that `host` leads. The child is still in the caller's other
/// namespaces; enter_host() is for it to call. Returns as fork() does.
[[nodiscard]] pid_t fork_into(const Host& host);

/// Moves the calling single-threaded process into the network, mounts and cgroup of `host`. False with
/// errno on failure.
[[nodiscard]] bool enter_host(const Host& host);

}  // namespace warren::bench
