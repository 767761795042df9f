#include "linux/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>

#include "core/log.h"

namespace warren {

namespace {
constexpr const char* own_namespace = "/proc/thread-self/ns/net";

bool same_netns(int a, int b) {
  struct stat first{};
  struct stat second{};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}
}  // namespace

Result<Fd> open_netns(std::string_view name) {
  std::string path{name};
  if (name.empty()) {
    path = own_namespace;
  } else if (name.find('/') == std::string_view::npos) {
    path = fmt::format("/run/netns/{}", name);
  }
  Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (fd) return fd;
  const int code = errno;
  const auto hint = code == ENOENT && path != name && !name.empty()
                        ? fmt::format(" (make it with: ip netns add {})", name)
                        : std::string{};
  return fail(fmt::format("open network namespace {}: {}{}", path, std::strerror(code), hint),
              code);
}

Result<Fd> create_netns() {
  auto home = open_netns("");
  if (!home) return home;
  if (::unshare(CLONE_NEWNET) != 0)
    return fail_errno("make a network namespace (it needs root, or CAP_SYS_ADMIN)");
  auto created = open_netns("");
  if (::setns(home->get(), CLONE_NEWNET) != 0)
    return fail_errno("go back to the network namespace from before");
  return created;
}

Result<> enter_netns(int netns) {
  if (::setns(netns, CLONE_NEWNET) != 0)
    return fail_errno("enter a network namespace (it needs root, or CAP_SYS_ADMIN)");
  return {};
}

Result<NetnsScope> NetnsScope::enter(int netns) {
  auto home = open_netns("");
  if (!home) return tl::unexpected(home.error());
  if (same_netns(home->get(), netns)) return NetnsScope{Fd{}};
  if (auto entered = enter_netns(netns); !entered) return tl::unexpected(entered.error());
  return NetnsScope{std::move(*home)};
}

Result<NetnsScope> NetnsScope::enter(std::string_view name) {
  if (name.empty()) return NetnsScope{Fd{}};
  auto netns = open_netns(name);
  if (!netns) return tl::unexpected(netns.error());
  auto scope = enter(netns->get());
  if (!scope) return fail_in(std::string(name), scope.error());
  return scope;
}

NetnsScope::~NetnsScope() {
  if (!home_ || ::setns(home_.get(), CLONE_NEWNET) == 0) return;
  log::error("cannot leave a network namespace: {}", std::strerror(errno));
  std::abort();
}

}  // namespace warren
