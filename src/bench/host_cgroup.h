/// A cgroup (v2) of a host's own, and so one for what programs of the host attach to "the root":
/// on one machine without, what each of two hosts attaches there runs for both.
///
/// It is a child of the cgroup that this process is in, and goes when it is destroyed. One that was
/// left behind, because its maker was killed, goes when the next is made.
#pragma once

#include <optional>
#include <string>

#include <warren/result.h>

namespace warren::bench {

class HostCgroup {
 public:
  /// Fails where there is no cgroup v2, or this process may not change it.
  [[nodiscard]] static Result<HostCgroup> create(const std::string& host);
  HostCgroup(HostCgroup&& other) noexcept;
  HostCgroup& operator=(HostCgroup&&) = delete;
  /// Those who are in there have ended.
  ~HostCgroup();

  /// As this process sees it.
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  /// Moves the calling process there. False with errno on failure. For a child between fork and
  /// exec.
  [[nodiscard]] bool enter() const noexcept;

 private:
  explicit HostCgroup(std::string directory);

  std::string directory_;
  std::string processes_;
};

}  // namespace warren::bench
