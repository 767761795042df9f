/// Our programs at the egress and ingress of devices, found again and removed by us alone.
///
/// Where the kernel has tcx (6.6) a program is held by a link that is pinned: nobody else's
/// `tc qdisc del` removes it. Elsewhere it is a filter in clsact, which whoever deletes the qdisc
/// removes with it; its program is pinned, so that ours can be told from another's.
///
///     link-egress-3          a link to device 3 (also link-ingress-3, link-xdp-3)
///     filter-egress-3        the program of a filter there
///     qdisc-3                that clsact was made by us, and goes when nothing is in it
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <warren/result.h>

#include "carrier/bpf_pins.h"

namespace warren::carrier {

enum class Hook : std::uint8_t { egress, ingress, xdp };
enum class Mechanism : std::uint8_t { tcx, clsact, xdp };

[[nodiscard]] std::string_view hook_name(Hook hook);
[[nodiscard]] std::string_view mechanism_name(Mechanism mechanism);

/// Whether to use tcx where it is there; tests of clsact say no.
enum class Tcx : std::uint8_t { use, avoid };

/// Attaches `program`; where one of ours is attached, it takes its place without a moment between.
Result<Mechanism> attach(BpfPins& pins, Hook hook, int ifindex, int program, Tcx tcx = Tcx::use);
/// No error where nothing of ours is.
Result<> detach(BpfPins& pins, Hook hook, int ifindex);

/// How ours is attached there now; nothing where it is not, or somebody removed it.
[[nodiscard]] std::optional<Mechanism> attached(const BpfPins& pins, Hook hook, int ifindex);
/// The devices at whose `hook` something of ours is, or was until they vanished.
[[nodiscard]] std::vector<int> attached_devices(const BpfPins& pins, Hook hook);
/// The id of an XDP program of somebody else on the device, or 0.
[[nodiscard]] std::uint32_t foreign_xdp(const BpfPins& pins, int ifindex);

}  // namespace warren::carrier
