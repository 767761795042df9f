#include "linux/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include <warren/fd.h>

namespace warren::sysctl {

namespace {
std::string path_of(const std::string& name) { return "/proc/sys/" + name; }
}  // namespace

Result<std::string> read(const std::string& name) {
  const Fd file(::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("read " + path_of(name));
  std::array<char, 4096> text;
  const auto size = ::read(file.get(), text.data(), text.size());
  if (size < 0) return fail_errno("read " + path_of(name));
  std::string value(text.data(), static_cast<std::size_t>(size));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Result<> write(const std::string& name, const std::string& value) {
  const Fd file(::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (file && ::write(file.get(), value.data(), value.size()) >= 0) return {};
  const int code = errno;
  const char* hint = code == EROFS ? " (a container or a service that may not change it: set it "
                                     "outside, or let this one)"
                                   : "";
  return fail_errno("write " + value + " to " + path_of(name) + hint, code);
}

}  // namespace warren::sysctl
