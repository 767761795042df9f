/// What a network file says about objects of the kernel, one struct for each kind of section, and how
/// each becomes settings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <warren/address.h>

#include "l3/mtu_plan.h"
#include "net/setting.h"

namespace warren::net {

/// A name in the file, and where it stands there: "home.toml:12:9". Moving it changes nothing.
struct Located {
  std::string text;
  std::string where;
  friend bool operator==(const Located& a, const Located& b) { return a.text == b.text; }
};

/// `clamp-mss`: TCP connections through a device are told segments that fit.
struct MssClamp {
  bool on = false;
  std::optional<std::uint32_t> mtu{};  ///< otherwise what fits the device
  friend bool operator==(const MssClamp&, const MssClamp&) = default;
};

/// What any device may have.
struct Layer3 {
  std::vector<IpPrefix> addresses{};
  std::vector<Route> routes{};
  bool same_way_back = false;
  std::optional<IpAddress> gateway{};  ///< of answers, where the device leads to more than one host
  friend bool operator==(const Layer3&, const Layer3&) = default;
};

/// `bridge-to-router`: frames that are too large for the bridge are routed, which fragments them.
struct BridgeToRouter {
  enum class Method : std::uint8_t { automatic, nft, tc };
  std::vector<IpPrefix> networks{};  ///< to which; empty: off
  Method method = Method::automatic;
  friend bool operator==(const BridgeToRouter&, const BridgeToRouter&) = default;
};

/// [bridge.NAME]
struct BridgeSection {
  std::vector<Located> ports{};
  bool stp = false;
  std::optional<MacAddress> mac{};
  std::optional<std::uint32_t>
      mtu{};  ///< otherwise the kernel's choice: that of the narrowest port
  Layer3 layer3{};
  BridgeToRouter router{};
  friend bool operator==(const BridgeSection&, const BridgeSection&) = default;
};

enum class VxlanEngine : std::uint8_t { automatic, kernel, user };

/// [vxlan.NAME]. With the user engine (tunnel/vxlan_node) this is what the kernel has to do with it.
struct VxlanSection {
  VxlanEngine engine = VxlanEngine::automatic;
  bool device = true;  ///< false: our engine, linked to a port of another node
  std::uint32_t vni = 0;
  std::uint16_t port = 4789;
  Located over{};                    ///< gives the source address, and the way to the peers
  Located bound{};                   ///< `dev`: the kernel binds to it
  std::optional<IpAddress> local{};  ///< in place of the address of `over`
  std::vector<IpAddress> peers{};
  std::string peers_where{};
  std::vector<netlink::FdbEntry> entries{};  ///< static: which address is behind which peer
  bool ipv6 = false;                         ///< family of the underlay
  bool learning = true;
  std::optional<std::uint8_t> dscp = std::uint8_t{0};  ///< of outer headers; none: the frame's
  std::optional<MacAddress> mac{};
  l3::MtuChoice mtu{};
  MssClamp clamp{};
  Layer3 layer3{};
  friend bool operator==(const VxlanSection& a, const VxlanSection& b);
};

/// [device.NAME]: a device that somebody else made.
struct DeviceSection {
  bool up = true;
  std::optional<std::uint32_t> mtu{};
  std::optional<MacAddress> mac{};
  MssClamp clamp{};
  Layer3 layer3{};
  friend bool operator==(const DeviceSection&, const DeviceSection&) = default;
};

/// [route.NAME]
struct RouteSection {
  DeviceRoute route{};
  friend bool operator==(const RouteSection&, const RouteSection&) = default;
};

/// [rule.NAME]
struct RuleSection {
  std::vector<netlink::Rule> rules{};  ///< one, or one for each family
  friend bool operator==(const RuleSection&, const RuleSection&) = default;
};

/// [zone.NAME]: devices, where what comes from them may go, and under whose address it leaves.
struct ZoneSection {
  std::vector<std::string> devices{};
  std::vector<std::string> forward{};  ///< devices of the zones that may be reached from here
  bool masquerade = false;             ///< what leaves by these devices has their address
  bool ipv6 = false;
  MssClamp clamp{};
  friend bool operator==(const ZoneSection&, const ZoneSection&) = default;
};

using Section = std::variant<BridgeSection, VxlanSection, DeviceSection, RouteSection, RuleSection,
                             ZoneSection>;

[[nodiscard]] Settings settings_of(const std::string& name, const BridgeSection& section);
[[nodiscard]] Settings settings_of(const std::string& name, const VxlanSection& section);
[[nodiscard]] Settings settings_of(const std::string& name, const DeviceSection& section);
[[nodiscard]] Settings settings_of(const std::string& name, const RouteSection& section);
[[nodiscard]] Settings settings_of(const std::string& name, const RuleSection& section);
[[nodiscard]] Settings settings_of(const std::string& name, const ZoneSection& section);

// Parts of several sections.
void add_layer3(Settings& settings, const std::string& device, const Layer3& layer3);
/// Answers to what came in by `device` leave by it (same_way_back.cc).
void add_same_way_back(Settings& settings, const std::string& device,
                       const std::optional<IpAddress>& gateway);
/// `fits` tells the MTU that segments must fit (mss.cc).
void add_mss_clamp(Settings& settings, const std::string& device, const MssClamp& clamp,
                   const MtuSource& fits);
[[nodiscard]] MtuSource mtu_of_device(const std::string& device);
/// The name of a table of ours, for one purpose: "warren-home-zone-lan".
[[nodiscard]] std::string table_name(const std::string& purpose);
/// The table and the mark of what came in by a device: the same at each start.
[[nodiscard]] std::uint32_t way_back_table(const std::string& device);

/// The MTU that fits below a VXLAN device, and its source address, as the kernel's devices are now.
[[nodiscard]] Result<std::uint32_t> vxlan_fit(const VxlanSection& section, netlink::Socket& socket);
[[nodiscard]] Result<IpAddress> vxlan_source(const VxlanSection& section, netlink::Socket& socket);
/// The index of the device by which its datagrams leave; 0 where that is not known.
[[nodiscard]] int vxlan_lower(const VxlanSection& section, netlink::Socket& socket);

}  // namespace warren::net
