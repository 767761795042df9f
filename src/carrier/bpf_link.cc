#include "carrier/bpf_link.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>

namespace warren::carrier {

namespace {

// Newer than Debian 12's headers.
constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46);
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);
constexpr std::uint32_t tcx_link = 11;
constexpr std::uint32_t place_before = 1U << 3U;  // BPF_F_BEFORE; without a relative: before all

Result<Fd> create(int program, int target, bpf_attach_type type, std::uint32_t flags) {
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.flags = flags;
  Fd link(::bpf_link_create(program, target, type, &options));
  if (!link) return fail_errno("attach a BPF program");
  return link;
}

}  // namespace

Result<LinkInfo> read_link(int fd) {
  bpf_link_info info{};
  std::uint32_t size = sizeof info;
  if (::bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("read about a BPF link");
  LinkInfo link{.program = info.prog_id};
  link.of_device = info.type == tcx_link || info.type == BPF_LINK_TYPE_XDP;
  // The index of the device is the first field of both.
  if (link.of_device) link.ifindex = static_cast<int>(info.xdp.ifindex);
  return link;
}

Result<Fd> link_tcx(int program, int ifindex, bool egress) {
  return create(program, ifindex, egress ? tcx_egress : tcx_ingress, place_before);
}

Result<Fd> link_xdp(int program, int ifindex) {
  return create(program, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE);
}

Result<Fd> link_generic_xdp(int program, int ifindex) {
  return create(program, ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE);
}

Result<Fd> link_cgroup_egress(int program, int cgroup) {
  return create(program, cgroup, BPF_CGROUP_INET_EGRESS, 0);
}

Result<> update_link(int link, int program) {
  if (::bpf_link_update(link, program, nullptr) != 0)
    return fail_errno("replace an attached BPF program");
  return {};
}

}  // namespace warren::carrier
