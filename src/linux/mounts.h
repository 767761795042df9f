/// The machine's file systems, also where the process sees others.
///
/// `ip netns exec` runs its command in a mount namespace of its own with a fresh /sys, in which
/// bpffs and cgroup are missing, and whatever is mounted there is gone when the command ends. What
/// should outlive the command must be found, and mounted, where its callers live.
///
/// Source: proc_pid_mountinfo(5), mount_namespaces(7).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren {

class Mounts {
 public:
  /// Those of the outermost process above this one whose root this one may enter; mostly its own.
  [[nodiscard]] static Mounts of_machine();

  /// Where this process reaches a mount of the whole file system of this type ("cgroup2"); with
  /// `where`, one that is mounted there ("/sys/fs/bpf").
  [[nodiscard]] std::optional<std::string> find(std::string_view type,
                                                std::string_view where = {}) const;
  /// Mounts a file system without a source, such as "bpf".
  Result<> mount(const std::string& type, const std::string& where) const;

 private:
  explicit Mounts(pid_t process) : process_(process) {}
  [[nodiscard]] std::string prefix() const;

  pid_t process_;  ///< 0: this process's own
};

}  // namespace warren
