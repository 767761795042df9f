/// The paths of packets that a network file describes, for the MTU plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/graph.h"
#include "l3/mtu_plan.h"

namespace warren::config {

/// What is known of a device that no section describes.
struct KnownDevice {
  std::uint32_t mtu = l3::ethernet_mtu;
  bool wireguard = false;  ///< its packets leave in WireGuard's messages
};

struct MtuPath {
  std::string name;    ///< the innermost tunnel
  std::string bridge;  ///< whose port it is; empty for a path that is routed
  std::optional<std::uint32_t> vni{};
  std::string guessed{};  ///< the device below, where neither the file nor the machine knows it
  l3::Path path{};
  [[nodiscard]] l3::Entry entry() const {
    return bridge.empty() ? l3::Entry::routed : l3::Entry::bridged;
  }
};

/// One for each tunnel that no other tunnel of the file is in. `look` knows the machine's devices;
/// `wire_mtu` is that of the path between the tunnel's ends.
[[nodiscard]] std::vector<MtuPath> mtu_paths(
    const GraphSpec& spec,
    const std::function<std::optional<KnownDevice>(const std::string&)>& look,
    std::uint32_t wire_mtu);

}  // namespace warren::config
