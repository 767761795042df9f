#include "bench/host_cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include <warren/fd.h>

#include "core/log.h"
#include "linux/mounts.h"

namespace warren::bench {

namespace {

constexpr std::string_view prefix = "warren-bench-";

// Below where cgroup v2 is mounted.
std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  constexpr std::string_view unified = "0::";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(unified)) return line.substr(unified.size());
  return {};
}

bool is_left_behind(const std::string& name) {
  if (!name.starts_with(prefix)) return false;
  pid_t maker = 0;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), maker);
  return maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH;
}

void remove_left_behind(const std::string& parent) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error))
    if (is_left_behind(entry.path().filename())) ::rmdir(entry.path().c_str());
}

}  // namespace

Result<HostCgroup> HostCgroup::create(const std::string& host) {
  const auto root = Mounts::of_machine().find("cgroup2");
  if (!root) return fail("make a cgroup: no cgroup v2 is mounted", ENOENT);
  const auto parent = *root + own_cgroup();
  remove_left_behind(parent);
  static int made = 0;
  auto directory = fmt::format("{}/{}{}-{}-{}", parent, prefix, ::getpid(), ++made, host);
  if (::mkdir(directory.c_str(), 0755) != 0)
    return fail_errno(fmt::format("make the cgroup {}", directory));
  return HostCgroup(std::move(directory));
}

HostCgroup::HostCgroup(std::string directory)
    : directory_(std::move(directory)), processes_(directory_ + "/cgroup.procs") {}

HostCgroup::HostCgroup(HostCgroup&& other) noexcept
    : directory_(std::exchange(other.directory_, {})), processes_(std::move(other.processes_)) {}

HostCgroup::~HostCgroup() {
  if (!directory_.empty() && ::rmdir(directory_.c_str()) != 0)
    log::debug("remove the cgroup {}: errno {}", directory_, errno);
}

bool HostCgroup::enter() const noexcept {
  const Fd file(::open(processes_.c_str(), O_WRONLY | O_CLOEXEC));
  constexpr auto myself = "0";
  return file && ::write(file.get(), myself, 1) == 1;
}

}  // namespace warren::bench
