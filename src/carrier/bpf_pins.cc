#include "carrier/bpf_pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "carrier/bpf_link.h"
#include "core/log.h"
#include "linux/mounts.h"

namespace warren::carrier {

namespace {

constexpr const char* bpffs = "/sys/fs/bpf";
constexpr const char* no_bpf =
    "the kernel is built without eBPF (CONFIG_BPF_SYSCALL); `warren doctor` says what is missing, "
    "and `warren icmp relay` does without";

Result<std::uint64_t> read_netns_cookie() {
  const Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) return fail_errno("open a socket");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return fail_errno("ask which network namespace this is (it needs kernel 5.14)");
  return cookie;
}

// Empty where it is not mounted and nothing should change.
Result<std::string> find_bpffs(BpfPins::Access access) {
  const auto mounts = Mounts::of_machine();
  if (const auto found = mounts.find("bpf", bpffs)) return *found;
  if (access == BpfPins::Access::read) return std::string{};
  auto mounted = mounts.mount("bpf", bpffs);
  if (!mounted && mounted.error().code == ENODEV)
    return fail(fmt::format("{}; {}", mounted.error().message, no_bpf), ENODEV);
  if (!mounted)
    return fail(fmt::format("{}; what runs in the kernel is kept there. Run as root; in a "
                            "container, mount it from outside",
                            mounted.error().message),
                mounted.error().code);
  if (const auto found = mounts.find("bpf", bpffs)) return *found;
  return fail(fmt::format("{} was mounted, and is not there", bpffs), ENOENT);
}

std::vector<std::string> list(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

// Links to devices that are gone say so; a directory of which nothing else is left is of a network
// namespace that is gone.
bool is_stale(const std::string& directory) {
  bool any = false;
  for (const auto& name : list(directory)) {
    if (!name.starts_with("link-")) continue;
    const Fd link(::bpf_obj_get(fmt::format("{}/{}", directory, name).c_str()));
    const auto info = link ? read_link(link.get()) : fail_errno(name);
    if (!info || !info->of_device) continue;
    if (info->ifindex != 0) return false;
    any = true;
  }
  return any;
}

}  // namespace

BpfPins::BpfPins(Fd lock, const std::string& bpffs, std::string_view carrier, std::uint64_t cookie)
    : lock_(std::move(lock)),
      root_(fmt::format("{}/warren", bpffs)),
      carrier_directory_(fmt::format("{}/{}", root_, carrier)),
      directory_(fmt::format("{}/net-{}", carrier_directory_, cookie)),
      cookie_(cookie) {}

Result<BpfPins> BpfPins::open(std::string_view carrier, Access access) {
  const auto cookie = read_netns_cookie();
  if (!cookie) return tl::unexpected(cookie.error());
  const auto root = find_bpffs(access);
  if (!root) return tl::unexpected(root.error());
  if (root->empty()) return BpfPins(Fd{}, bpffs, carrier, *cookie);
  Fd lock(::open(root->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return fail_errno(fmt::format("open {} (run as root)", *root));
  const int kind = access == Access::change ? LOCK_EX : LOCK_SH;
  while (::flock(lock.get(), kind) != 0)
    if (errno != EINTR) return fail_errno(fmt::format("lock {}", *root));
  BpfPins pins(std::move(lock), *root, carrier, *cookie);
  if (access == Access::change) pins.remove_stale();
  return pins;
}

// Of every carrier, because a former version of this one may have left some.
void BpfPins::remove_stale() const {
  const auto own = fmt::format("net-{}", cookie_);
  for (const auto& carrier : list(root_)) {
    const auto carrier_directory = fmt::format("{}/{}", root_, carrier);
    for (const auto& name : list(carrier_directory)) {
      const auto directory = fmt::format("{}/{}", carrier_directory, name);
      if (name == own || !is_stale(directory)) continue;
      std::error_code error;
      std::filesystem::remove_all(directory, error);
      log::debug("removed {}, of a network namespace that is gone", directory);
    }
    ::rmdir(carrier_directory.c_str());  // where it is empty
  }
  ::rmdir(root_.c_str());
}

std::vector<std::string> BpfPins::names(std::string_view prefix) const {
  auto names = list(directory_);
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix); });
  return names;
}

Result<Fd> BpfPins::get(const std::string& name) const {
  const auto path = fmt::format("{}/{}", directory_, name);
  Fd fd(::bpf_obj_get(path.c_str()));
  if (!fd && errno == ENOSYS) return fail(no_bpf, ENOSYS);
  if (!fd && (errno == EACCES || errno == EPERM))
    return fail_errno(fmt::format("open {} (run as root)", path));
  if (!fd && errno != ENOENT) return fail_errno(fmt::format("open {}", path));
  return fd;
}

Result<> BpfPins::pin(const std::string& name, int fd) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) return fail_errno(fmt::format("make {}", directory_), error.value());
  // What is pinned there configures the network: nobody but root looks into it.
  ::chmod(directory_.c_str(), 0700);
  const auto path = fmt::format("{}/{}", directory_, name);
  if (::bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno(fmt::format("pin {}", path));
  return {};
}

Result<> BpfPins::replace(const std::string& name, int fd) {
  const auto path = fmt::format("{}/{}", directory_, name);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno(fmt::format("remove {}", path));
  return pin(name, fd);
}

Result<> BpfPins::remove(const std::string& name) {
  const auto path = fmt::format("{}/{}", directory_, name);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno(fmt::format("remove {}", path));
  return {};
}

Result<> BpfPins::remove_all() {
  for (const auto& name : names(""))
    if (auto removed = remove(name); !removed) return removed;
  // Upwards as far as nothing else is in there. The lock keeps others from making theirs meanwhile.
  for (const auto* directory : {&directory_, &carrier_directory_, &root_})
    ::rmdir(directory->c_str());
  return {};
}

}  // namespace warren::carrier
