/// Filters of ours in a device's clsact queueing discipline, among those of others.
///
/// For kernels without tcx. Filters run in the order of their priority; ours takes the first one that
/// is free. Ours is the one whose program is the pinned one.
///
/// Source: tc-bpf(8), libbpf's bpf_tc_*.
#pragma once

#include <cstdint>
#include <optional>

#include <warren/result.h>

namespace warren::carrier::clsact {

/// Where a filter stands.
struct Place {
  std::uint32_t handle;
  std::uint32_t priority;
};

/// True where it was made, false where it was there.
Result<bool> create(int ifindex);
/// Takes clsact away where there is no filter in it.
Result<> remove_if_empty(int ifindex);

Result<> add(int ifindex, bool egress, int program);
/// Without a moment in which neither is there.
Result<> replace(int ifindex, bool egress, Place place, int program);
Result<> remove(int ifindex, bool egress, Place place);
[[nodiscard]] std::optional<Place> find(int ifindex, bool egress, int program);

}  // namespace warren::carrier::clsact
