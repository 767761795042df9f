#include "control/instance.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "control/client.h"
#include "core/log.h"

namespace warren::control {

namespace {

constexpr std::chrono::milliseconds poll_interval{5};

std::string lock_path(std::string_view instance) {
  return fmt::format("{}/{}.lock", run_directory(), instance);
}

std::string read_pid(int fd) {
  std::array<char, 16> text{};
  const auto size = ::pread(fd, text.data(), text.size(), 0);
  std::string pid(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  pid.erase(pid.find_last_not_of('\n') + 1);
  return pid;
}

Result<> make_run_directory() {
  const auto directory = run_directory();
  // /run/warren only, not its parents: a path that is wrong should fail.
  if (::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail_errno("make the directory " + directory + " (run as root, or set WARREN_RUN_DIR)");
}

bool is_running(std::string_view instance) {
  const Fd lock(::open(lock_path(instance).c_str(), O_RDONLY | O_CLOEXEC));
  return lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0;
}

// The lock counts only while its file is the one that the path leads to: the former owner removes
// it when it ends, perhaps between our open() and flock().
bool still_there(int lock, const std::string& path) {
  struct stat ours{};
  struct stat current{};
  return ::fstat(lock, &ours) == 0 && ::stat(path.c_str(), &current) == 0 &&
         ours.st_ino == current.st_ino && ours.st_dev == current.st_dev;
}

}  // namespace

std::string run_directory() {
  const char* directory = std::getenv("WARREN_RUN_DIR");
  return directory != nullptr && *directory != '\0' ? directory : "/run/warren";
}

std::string socket_path(std::string_view instance) {
  return fmt::format("{}/{}.sock", run_directory(), instance);
}

std::string journal_path(std::string_view instance) {
  return fmt::format("{}/{}.journal", run_directory(), instance);
}

bool valid_instance_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, fits);
}

std::vector<std::string> running_instances() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run_directory(), error)) {
    const auto name = entry.path().stem().string();
    if (entry.path().extension() == ".lock" && is_running(name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

bool was_killed(std::string_view instance) {
  return std::filesystem::exists(lock_path(instance)) && !is_running(instance);
}

bool wait_until_gone(std::string_view instance, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (is_running(instance)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(poll_interval);
  }
  return true;
}

Result<Instance> Instance::claim(std::string name, std::chrono::milliseconds patience) {
  if (!valid_instance_name(name))
    return fail(
        fmt::format("\"{}\" cannot name an instance: use letters, digits, _, - and ., 64 at "
                    "most; choose one with --name",
                    name));
  if (auto made = make_run_directory(); !made) return tl::unexpected(made.error());
  const auto path = lock_path(name);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    // Not O_CLOEXEC: what a killed process was having nft do is not to happen after its successor
    // has begun.
    Fd lock(::open(path.c_str(), O_RDWR | O_CREAT, 0644));
    if (!lock)
      return fail_errno("open the lock file " + path + " (run as root, or set WARREN_RUN_DIR)");
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return fail_errno("lock " + path);
      if (std::chrono::steady_clock::now() < deadline && !Client::connect(name, poll_interval)) {
        std::this_thread::sleep_for(poll_interval);
        continue;
      }
      return fail(
          fmt::format("an instance \"{0}\" runs already, as process {1}: stop it with `warren "
                      "down {0}`, or choose another name with --name",
                      name, read_pid(lock.get())),
          EBUSY);
    }
    if (!still_there(lock.get(), path)) continue;
    const auto former = read_pid(lock.get());
    if (!former.empty())
      log::info("process {} was {} and did not end in order; taking over", former, name);
    ::unlink(socket_path(name).c_str());
    const auto pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      const int error = errno;
      ::unlink(path.c_str());
      return fail_errno("write " + path, error);
    }
    return Instance(std::move(name), std::move(lock), !former.empty());
  }
}

Instance::~Instance() {
  if (!lock_) return;
  ::unlink(socket_path(name_).c_str());
  ::unlink(lock_path(name_).c_str());
}

}  // namespace warren::control
