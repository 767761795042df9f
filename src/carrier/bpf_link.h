/// BPF links as the kernel describes them, also those that are newer than the library that we link with.
///
/// Source: include/uapi/linux/bpf.h (struct bpf_link_info, BPF_LINK_CREATE), kernel 6.6 for tcx.
#pragma once

#include <cstdint>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::carrier {

struct LinkInfo {
  bool of_device = false;     ///< attached to a network device, as opposed to a cgroup
  int ifindex = 0;            ///< 0: the device is gone
  std::uint32_t program = 0;  ///< id
};

[[nodiscard]] Result<LinkInfo> read_link(int fd);

/// Attaches a program to the first place of a device's tcx hook, so that nobody's verdict comes
/// before it. EINVAL or EOPNOTSUPP where the kernel has no tcx (before 6.6).
[[nodiscard]] Result<Fd> link_tcx(int program, int ifindex, bool egress);
/// Attaches a program to the device's driver. EBUSY or EEXIST where another one sits there,
/// EOPNOTSUPP where the driver cannot.
[[nodiscard]] Result<Fd> link_xdp(int program, int ifindex);
/// As above, behind the driver, which every device can.
[[nodiscard]] Result<Fd> link_generic_xdp(int program, int ifindex);
/// Attaches a program to what leaves the sockets of a cgroup v2 and all below it.
[[nodiscard]] Result<Fd> link_cgroup_egress(int program, int cgroup);
/// Puts another program into the place of the one that is attached, without a moment in between.
Result<> update_link(int link, int program);

}  // namespace warren::carrier
