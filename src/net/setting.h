/// One thing of the kernel that a network file decides: a port's bridge, an address, a table of rules.
///
/// Theory of operation. A section of the file becomes a list of settings. Each can look whether it
/// holds, say beforehand how to return to what is there now, and apply itself. Everything else
/// follows from that:
///
///     up          what does not hold is noted in the journal, then applied
///     --dry-run   what does not hold is printed
///     reload      settings whose text is the same are not touched; those that are gone are undone
///     down        undone in the reverse order; what held before us was never ours and stays
///     kill -9     the next start undoes what the journal says (journal.h)
///     afterwards  what no longer holds (a Wi-Fi port that lost its bridge) is applied again
///
/// Settings act on the network namespace of the calling thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <warren/address.h>
#include <warren/result.h>

#include "l3/mtu_plan.h"
#include "linux/netlink.h"
#include "net/undo.h"

namespace warren::net {

struct Setting {
  std::string key{};       ///< what is set: "MTU of vx8"
  std::string value{};     ///< to what: "1370"; may be empty
  bool essential = false;  ///< another value means that the node is made anew
  std::function<Result<bool>(netlink::Socket&)> there{};
  std::function<Result<Undo>(netlink::Socket&)> undo{};
  std::function<Result<>(netlink::Socket&)> apply{};

  [[nodiscard]] std::string text() const { return value.empty() ? key : key + ": " + value; }
};

using Settings = std::vector<Setting>;

// Devices.
[[nodiscard]] Setting bridge_exists(const netlink::BridgeConfig& bridge);
[[nodiscard]] Setting is_port_of(const std::string& device, const std::string& bridge);
[[nodiscard]] Setting is_up(const std::string& device);
[[nodiscard]] Setting has_mac(const std::string& device, const MacAddress& mac);
/// `wanted` is asked each time, because it may follow from another device's MTU.
using MtuSource = std::function<Result<std::uint32_t>(netlink::Socket&)>;
[[nodiscard]] Setting has_mtu(const std::string& device, std::string text, const MtuSource& wanted);
[[nodiscard]] Setting has_mtu(const std::string& device, std::uint32_t mtu);
/// Makes `device`, with what `create` does; notes whose it is in its alias.
[[nodiscard]] Setting device_exists(const std::string& device, const std::string& kind,
                                    std::string parameters,
                                    const std::function<Result<bool>(netlink::Socket&)>& same,
                                    const std::function<Result<>(netlink::Socket&)>& create);

// Addresses, routes, rules.
[[nodiscard]] Setting has_address(const std::string& device, const IpPrefix& address);
struct DeviceRoute {
  Route route;
  std::string device;  ///< empty: the gateway tells
  std::uint32_t table = 254;
  bool onlink = false;
  friend bool operator==(const DeviceRoute&, const DeviceRoute&) = default;
};
[[nodiscard]] Setting has_route(const DeviceRoute& route);
/// A host route to `to` through `device`, where the kernel would not take that way by itself.
[[nodiscard]] Setting is_reached_through(const IpAddress& to, const std::string& device);
[[nodiscard]] Setting has_rule(const netlink::Rule& rule);
[[nodiscard]] Setting has_fdb_entry(const std::string& device, const netlink::FdbEntry& entry);

// Everything else.
[[nodiscard]] Setting has_sysctl(const std::string& name, const std::string& value);
/// A table of rules of our own. `json` makes the commands that stand between making the table and
/// the end of the transaction; it is asked each time, because rules name MTUs and addresses.
using RulesSource = std::function<Result<std::string>(netlink::Socket&)>;
[[nodiscard]] Setting has_table(const std::string& family, const std::string& name,
                                std::string text, const RulesSource& json);

}  // namespace warren::net
