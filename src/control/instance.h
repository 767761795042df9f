/// One running `warren up`: its name, and the files that the name stands for.
///
///     /run/warren/home.lock   held (flock) as long as the process lives; holds its pid
///     /run/warren/home.sock   the control socket
///     /run/warren/home.journal   what it changed in the kernel, while it stands
///
/// The kernel drops the lock with the process, however it ends, and with the programs that it runs (nft),
/// which inherit the lock. So whoever gets it knows that nobody works under that name any more, that
/// a socket of that name was left behind, and removes it. WARREN_RUN_DIR replaces /run/warren.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::control {

[[nodiscard]] std::string run_directory();
[[nodiscard]] std::string socket_path(std::string_view instance);
/// Where it notes what it changes in the kernel; outlives an instance that is killed.
[[nodiscard]] std::string journal_path(std::string_view instance);

/// Letters, digits, `_`, `-` and `.`, not in front; at most 64.
[[nodiscard]] bool valid_instance_name(std::string_view name);

/// The names of the instances that run now, in order.
[[nodiscard]] std::vector<std::string> running_instances();

/// Its files are there, and nobody has its name.
[[nodiscard]] bool was_killed(std::string_view instance);

/// Waits until the process of that name has ended. False where it still runs after `timeout`.
[[nodiscard]] bool wait_until_gone(std::string_view instance, std::chrono::milliseconds timeout);

/// The claim on a name. Movable; the destructor removes the files.
class Instance {
 public:
  /// Fails where a living process has the name; the error says which. One that holds it and does not
  /// listen is about to come or to go: `patience` is for how long to see which.
  [[nodiscard]] static Result<Instance> claim(
      std::string name, std::chrono::milliseconds patience = std::chrono::milliseconds(0));
  Instance(Instance&&) noexcept = default;
  Instance& operator=(Instance&&) = delete;
  ~Instance();

  [[nodiscard]] const std::string& name() const { return name_; }
  /// The former owner of the name did not end in order.
  [[nodiscard]] bool replaced_killed() const { return replaced_killed_; }

 private:
  Instance(std::string name, Fd lock, bool replaced_killed)
      : name_(std::move(name)), lock_(std::move(lock)), replaced_killed_(replaced_killed) {}

  std::string name_;
  Fd lock_;
  bool replaced_killed_;
};

}  // namespace warren::control
