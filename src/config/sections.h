/// The sections of a network file, each read into the configuration of its node. Mistakes are noted
/// in the document.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <warren/tun.h>

#include "carrier/icmp_node.h"
#include "config/node_kinds.h"
#include "config/toml_reader.h"
#include "core/graph.h"
#include "core/port.h"
#include "io/impairment.h"
#include "l2/switch_node.h"
#include "tunnel/wireguard_node.h"

namespace warren::config {

/// [tun.NAME]
[[nodiscard]] TunConfig read_tun_section(TomlTable& section, const std::string& name);
/// [impair.NAME]
[[nodiscard]] ImpairmentConfig read_impair_section(TomlTable& section);
/// [switch.NAME]
[[nodiscard]] l2::SwitchSettings read_switch_section(TomlTable& section);
/// [icmp.NAME]
[[nodiscard]] carrier::IcmpNodeSettings read_icmp_section(TomlTable& section,
                                                          const std::string& name);
/// [wireguard.NAME]
[[nodiscard]] tunnel::WireguardSettings read_wireguard_section(TomlTable& section,
                                                               const std::string& name);
/// Notes a name that no device can have.
void check_device_name(TomlTable& section, const std::string& name);
/// `dev`, `checksum` and `xdp`: how the ICMP carrier is attached.
[[nodiscard]] std::vector<std::string> read_icmp_devices(TomlTable& section,
                                                         carrier::IcmpDeviceOptions& options);
// Sections about the kernel's own things (net/sections.h).
/// [device.NAME]
[[nodiscard]] std::shared_ptr<const NodeConfig> read_device_section(TomlTable& section,
                                                                    const std::string& name);
/// [vxlan.NAME]
[[nodiscard]] std::shared_ptr<const NodeConfig> read_vxlan_section(TomlTable& section,
                                                                   const std::string& name);
/// [bridge.NAME]
[[nodiscard]] std::shared_ptr<const NodeConfig> read_bridge_section(TomlTable& section,
                                                                    const std::string& name);
/// [route.NAME]
[[nodiscard]] std::shared_ptr<const NodeConfig> read_route_section(TomlTable& section,
                                                                   const std::string& name);
/// [rule.NAME]
[[nodiscard]] std::shared_ptr<const NodeConfig> read_rule_section(TomlTable& section,
                                                                  const std::string& name);
/// [zone.NAME]; its `forward` names zones until link_sections().
[[nodiscard]] std::shared_ptr<const NodeConfig> read_zone_section(TomlTable& section,
                                                                  const std::string& name);
/// What concerns several sections: zones that name each other, ports with two bridges, VNIs that
/// overlap.
void link_sections(TomlTable& root, std::vector<DescribedNode>& nodes);

/// Unicast, as a device may have it.
[[nodiscard]] Result<MacAddress> parse_device_mac(std::string_view text);

/// Chooses the engines of VXLANs, makes nodes of those that are ours, and joins them with the WireGuard
/// interfaces of the file. The links that this takes.
[[nodiscard]] std::vector<LinkSpec> join_vxlans(TomlTable& root, std::vector<DescribedNode>& nodes);

/// The key `medium`: "ip" (default) or "ethernet".
[[nodiscard]] Medium read_medium(TomlTable& section);

/// "10.0.0.0/8 via 10.0.1.2 metric 5"; "default" is 0.0.0.0/0, or ::/0 where the gateway is IPv6.
[[nodiscard]] Result<Route> parse_route(std::string_view text);

/// The value that a word stands for, among those that are possible.
template <class T>
T read_choice(TomlTable& section, const char* key, T fallback,
              const std::vector<std::pair<std::string_view, T>>& choices) {
  const auto parse = [&](std::string_view text) -> Result<T> {
    std::string possible;
    for (const auto& [word, value] : choices) {
      if (word == text) return value;
      possible += fmt::format("{}\"{}\"", possible.empty() ? "" : " or ", word);
    }
    return fail(fmt::format("{} is \"{}\"; it must be {}", key, text, possible));
  };
  return section.parse(key, parse).value_or(fallback);
}

}  // namespace warren::config
