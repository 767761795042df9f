/// A VXLAN in userspace as a node: the engine (overlay/vxlan) between Ethernet and UDP sockets.
///
///     port, or TAP device ── super-packets whole ── VxlanEngine ── merged datagrams ── UDP 4789
///
/// Where it is `over` a WireGuard interface of this process, the two are linked by their ports "over"
/// and NAME (overlay_ports.h), and messages pass as IP packets: super-packets whole. The sockets stay,
/// for what comes in fragments.
///
/// With a device it is what the kernel's VXLAN device would be, to be used in bridges; without one it
/// has a port, to be linked to a switch. What comes from the network is coalesced to super-packets
/// again. The outer packets may be fragmented on their way, as the kernel's own VXLAN permits it; but
/// senders that want to know are told what is too large (VxlanEngine::set_way_mtu).
#pragma once

#include <optional>

#include <warren/address.h>
#include <warren/tun.h>

#include "core/node.h"
#include "overlay/vxlan.h"
#include "wire/vxlan.h"

namespace warren::tunnel {

struct VxlanNodeSettings {
  /// With `packets` the node has a port "over".
  overlay::VxlanConfig vxlan{};
  std::uint16_t port = wire::vxlan_port;  ///< of all peers and of this host
  /// Of the peers and of `local`.
  bool ipv6 = false;
  /// What messages come from; otherwise the first address of `over`, or what the kernel chooses.
  std::optional<IpAddress> local{};
  /// The device that leads to the peers. Its MTU is what fits; its address is followed.
  std::string over{};
  /// A TAP device in place of the port.
  std::optional<TunConfig> device{};

  friend bool operator==(const VxlanNodeSettings&, const VxlanNodeSettings&) = default;
};

/// `[vxlan.NAME]` with engine = "user".
class VxlanNodeConfig final : public NodeConfigOf<VxlanNodeSettings> {
 public:
  using NodeConfigOf::NodeConfigOf;

  /// Not that of the kernel's VXLAN, which is another node under the same name.
  [[nodiscard]] std::string_view kind() const noexcept override { return "vxlan-user"; }
  /// The sockets are of the calling thread's namespace. Fails where a peer is this host itself, or
  /// another program has the port.
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
};

}  // namespace warren::tunnel
