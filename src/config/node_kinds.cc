#include "config/node_kinds.h"

#include <array>

#include "config/sections.h"
#include "io/impair_node.h"
#include "io/tun_node.h"
#include "l2/switch_node.h"
#include "tunnel/vxlan_node.h"

namespace warren::config {

std::span<const NodeKind> node_kinds() {
  static const std::array<NodeKind, 11> kinds = {{
      {"tun",
       {},
       [](TomlTable& section, const std::string& node) -> std::shared_ptr<const NodeConfig> {
         return std::make_shared<TunNodeConfig>(read_tun_section(section, node));
       },
       [](const NodeConfig& config) -> std::optional<Medium> {
         const auto mode = static_cast<const TunNodeConfig&>(config).settings().mode;
         return mode == TunMode::tap ? Medium::ethernet : Medium::ip;
       }},
      {"impair", [](const NodeConfig&) { return std::vector<std::string>{"a", "b"}; },
       [](TomlTable& section, const std::string&) -> std::shared_ptr<const NodeConfig> {
         const auto medium = read_medium(section);
         return std::make_shared<ImpairNodeConfig>(medium, read_impair_section(section));
       },
       [](const NodeConfig& config) -> std::optional<Medium> {
         return static_cast<const ImpairNodeConfig&>(config).medium();
       }},
      {"icmp",
       {},
       [](TomlTable& section, const std::string& node) -> std::shared_ptr<const NodeConfig> {
         return std::make_shared<carrier::IcmpNodeConfig>(read_icmp_section(section, node));
       },
       nullptr},
      {"wireguard",
       {},
       [](TomlTable& section, const std::string& node) -> std::shared_ptr<const NodeConfig> {
         return std::make_shared<tunnel::WireguardNodeConfig>(
             read_wireguard_section(section, node));
       },
       nullptr},
      {"switch",
       [](const NodeConfig& config) {
         return static_cast<const l2::SwitchNodeConfig&>(config).settings().ports;
       },
       [](TomlTable& section, const std::string&) -> std::shared_ptr<const NodeConfig> {
         return std::make_shared<l2::SwitchNodeConfig>(read_switch_section(section));
       },
       [](const NodeConfig&) -> std::optional<Medium> { return Medium::ethernet; }},
      {"device", {}, read_device_section, nullptr, 1, true},
      {"vxlan",
       {},
       read_vxlan_section,
       [](const NodeConfig& config) -> std::optional<Medium> {
         const auto* ours = dynamic_cast<const tunnel::VxlanNodeConfig*>(&config);
         if (ours == nullptr || ours->settings().device) return std::nullopt;
         return Medium::ethernet;
       },
       2,
       false},
      {"bridge", {}, read_bridge_section, nullptr, 3, false},
      {"route", {}, read_route_section, nullptr, 4, true},
      {"rule", {}, read_rule_section, nullptr, 4, true},
      {"zone", {}, read_zone_section, nullptr, 4, true},
  }};
  return kinds;
}

}  // namespace warren::config
