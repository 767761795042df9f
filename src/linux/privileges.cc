#include "linux/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace warren {

namespace {

constexpr id_t nobody = 65534;

// Without its capabilities root would still own most files.
Result<> leave_root() {
  if (::geteuid() != 0) return {};
  if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
      ::setresuid(nobody, nobody, nobody) != 0) {
    // In a user namespace nobody may have no number.
    if (errno != EINVAL && errno != EPERM) return fail_errno("become nobody");
  }
  return {};
}

using Capabilities = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

Result<> set_capabilities(const Capabilities& wanted) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail_errno("give up gaining privileges");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  if (::syscall(SYS_capset, &header, wanted.data()) != 0) return fail_errno("drop capabilities");
  return {};
}

}  // namespace

Result<> drop_privileges() {
  if (auto left = leave_root(); !left) return left;
  return set_capabilities({});
}

Result<> keep_capabilities(std::initializer_list<int> capabilities) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  Capabilities have{};
  if (::syscall(SYS_capget, &header, have.data()) != 0)
    return fail_errno("ask for this process's capabilities");
  Capabilities kept{};
  for (const int capability : capabilities) {
    const auto word = static_cast<std::size_t>(CAP_TO_INDEX(capability));
    const auto bit = CAP_TO_MASK(capability) & have[word].permitted;
    kept[word].permitted |= bit;
    kept[word].effective |= bit;
  }
  return set_capabilities(kept);
}

Result<> hide_memory() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("hide this process's memory");
  return {};
}

}  // namespace warren
