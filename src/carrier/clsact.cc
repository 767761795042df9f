#include "carrier/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/pkt_sched.h>

#include "carrier/libbpf_words.h"
#include "linux/netlink.h"

namespace warren::carrier::clsact {

namespace {

constexpr std::uint32_t handle = 0x7763;  // "wc"
constexpr std::uint32_t priorities = 16;  // that are tried

bpf_tc_hook hook_of(int ifindex, bool egress) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = ifindex;
  hook.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
  return hook;
}

bpf_tc_opts options_at(Place place) {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.handle = place.handle;
  options.priority = place.priority;
  return options;
}

Result<> put(int ifindex, bool egress, Place place, int program, std::uint32_t flags) {
  const LibbpfWords quiet;
  const auto hook = hook_of(ifindex, egress);
  auto options = options_at(place);
  options.prog_fd = program;
  options.flags = flags;
  if (const int error = ::bpf_tc_attach(&hook, &options); error != 0)
    return fail_errno("put a filter into clsact", -error);
  return {};
}

// The qdisc, or the device, has gone meanwhile, and the filter with it.
bool is_gone(int error) { return error == -ENOENT || error == -ENODEV || error == -EINVAL; }

}  // namespace

Result<bool> create(int ifindex) {
  const LibbpfWords quiet;
  auto hook = hook_of(ifindex, true);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_EGRESS | BPF_TC_INGRESS);
  const int error = ::bpf_tc_hook_create(&hook);
  if (error != 0 && error != -EEXIST) return fail_errno("make clsact", -error);
  return error == 0;
}

Result<> remove_if_empty(int ifindex) {
  const LibbpfWords quiet;
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  for (const std::uint32_t end : {TC_H_MIN_EGRESS, TC_H_MIN_INGRESS}) {
    const auto filters = socket->count_filters(ifindex, TC_H_MAKE(TC_H_CLSACT, end));
    if (!filters && is_gone(-filters.error().code)) return {};
    if (!filters) return tl::unexpected(filters.error());
    if (*filters != 0) return {};
  }
  auto hook = hook_of(ifindex, true);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_EGRESS | BPF_TC_INGRESS);
  if (const int error = ::bpf_tc_hook_destroy(&hook); error != 0 && !is_gone(error))
    return fail_errno("remove clsact", -error);
  return {};
}

Result<> add(int ifindex, bool egress, int program) {
  Result<> done;
  for (std::uint32_t priority = 1; priority <= priorities; ++priority) {
    done = put(ifindex, egress, {handle, priority}, program, 0);
    if (done) return done;
  }
  return done;
}

Result<> replace(int ifindex, bool egress, Place place, int program) {
  return put(ifindex, egress, place, program, BPF_TC_F_REPLACE);
}

Result<> remove(int ifindex, bool egress, Place place) {
  const LibbpfWords quiet;
  const auto hook = hook_of(ifindex, egress);
  const auto options = options_at(place);
  if (const int error = ::bpf_tc_detach(&hook, &options); error != 0 && !is_gone(error))
    return fail_errno("remove a filter from clsact", -error);
  return {};
}

std::optional<Place> find(int ifindex, bool egress, int program) {
  const LibbpfWords quiet;
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  if (::bpf_obj_get_info_by_fd(program, &info, &size) != 0) return std::nullopt;
  const auto hook = hook_of(ifindex, egress);
  for (std::uint32_t priority = 1; priority <= priorities; ++priority) {
    auto options = options_at({handle, priority});
    if (::bpf_tc_query(&hook, &options) == 0 && options.prog_id == info.id)
      return Place{handle, priority};
  }
  return std::nullopt;
}

}  // namespace warren::carrier::clsact
