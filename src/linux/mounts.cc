#include "linux/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <vector>

#include <warren/fd.h>

namespace warren {

namespace {

std::string namespace_of(const std::string& process) {
  struct stat status{};
  if (::stat(fmt::format("/proc/{}/ns/mnt", process).c_str(), &status) != 0) return {};
  return fmt::format("{}:{}", status.st_dev, status.st_ino);
}

// 0 where there is none above, or none that this process may see.
pid_t parent_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string line;
  std::getline(file, line);
  // The name in the second field may contain anything, and ends with the last bracket.
  const auto end = line.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream rest(line.substr(end + 1));
  std::string state;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

// "\040" stands for a space.
std::string unescape(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

Mounts Mounts::of_machine() {
  pid_t outermost = 0;
  const auto own = namespace_of("self");
  for (pid_t process = ::getppid(); process > 0; process = parent_of(process)) {
    const auto theirs = namespace_of(std::to_string(process));
    if (theirs.empty() || ::access(fmt::format("/proc/{}/root/", process).c_str(), X_OK) != 0)
      continue;
    outermost = theirs == own ? 0 : process;
  }
  return Mounts(outermost);
}

std::string Mounts::prefix() const {
  return process_ == 0 ? std::string{} : fmt::format("/proc/{}/root", process_);
}

std::optional<std::string> Mounts::find(std::string_view type, std::string_view where) const {
  std::ifstream file(process_ == 0 ? std::string("/proc/self/mountinfo")
                                   : fmt::format("/proc/{}/mountinfo", process_));
  for (std::string line; std::getline(file, line);) {
    // 36 35 98:0 ROOT PLACE OPTIONS [MORE…] - TYPE SOURCE …
    std::istringstream words(line);
    std::vector<std::string> fields;
    std::size_t dash = 0;
    for (std::string word; words >> word; fields.push_back(word))
      if (word == "-" && dash == 0) dash = fields.size();
    if (dash < 5 || dash + 1 >= fields.size()) continue;
    const auto place = unescape(fields[4]);
    if (fields[3] == "/" && fields[dash + 1] == type && (where.empty() || place == where))
      return prefix() + place;
  }
  return std::nullopt;
}

Result<> Mounts::mount(const std::string& type, const std::string& where) const {
  const auto action = fmt::format("mount {} at {}", type, where);
  if (process_ == 0) {
    if (::mount(type.c_str(), where.c_str(), type.c_str(), 0, nullptr) != 0)
      return fail_errno(action);
    return {};
  }
  // A thread cannot enter a mount namespace while others share its file system state; a child can.
  const Fd theirs(::open(fmt::format("/proc/{}/ns/mnt", process_).c_str(), O_RDONLY | O_CLOEXEC));
  if (!theirs) return fail_errno(action);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(action);
  if (child == 0) {
    const bool done = ::setns(theirs.get(), CLONE_NEWNS) == 0 &&
                      ::mount(type.c_str(), where.c_str(), type.c_str(), 0, nullptr) == 0;
    ::_exit(done ? 0 : errno);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status)) return fail(action + ": the process that should do it died", EIO);
  if (WEXITSTATUS(status) != 0) return fail_errno(action, WEXITSTATUS(status));
  return {};
}

}  // namespace warren
