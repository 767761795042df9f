// [zone.NAME], and what concerns several sections.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "config/layer3_keys.h"
#include "config/sections.h"
#include "config/suggest.h"
#include "net/kernel_node.h"

namespace warren::config {

namespace {

using net::KernelNodeConfig;
using net::section_of;

const KernelNodeConfig& kernel_config(const DescribedNode& node) {
  return static_cast<const KernelNodeConfig&>(*node.config);
}

// From the zones that a zone names to their devices.
void resolve_zones(TomlTable& root, std::vector<DescribedNode>& nodes) {
  std::map<std::string, net::ZoneSection> zones;
  std::vector<std::string> names;
  for (const auto& node : nodes)
    if (const auto* zone = section_of<net::ZoneSection>(*node.config)) {
      zones[kernel_config(node).subject()] = *zone;
      names.push_back(kernel_config(node).subject());
    }
  for (auto& node : nodes) {
    const auto* zone = section_of<net::ZoneSection>(*node.config);
    if (zone == nullptr) continue;
    auto resolved = *zone;
    resolved.forward.clear();
    for (const auto& name : zone->forward) {
      const auto to = zones.find(name);
      auto others = names;
      std::erase(others, kernel_config(node).subject());
      if (to == zones.end())
        root.error(node.position,
                   fmt::format("zone \"{}\": forward names \"{}\", and there is no such zone{}",
                               kernel_config(node).subject(), name, suggest(name, others)));
      else
        resolved.forward.insert(resolved.forward.end(), to->second.devices.begin(),
                                to->second.devices.end());
    }
    node.config = kernel_config(node).with(std::move(resolved));
  }
}

void check_ports(TomlTable& root, const std::vector<DescribedNode>& nodes) {
  std::map<std::string, std::string> bridges;
  for (const auto& node : nodes) {
    const auto* bridge = section_of<net::BridgeSection>(*node.config);
    if (bridge == nullptr) continue;
    for (const auto& port : bridge->ports)
      if (const auto [first, added] = bridges.emplace(port.text, node.name); !added)
        root.error(node.position,
                   fmt::format("\"{}\" is a port of \"{}\" already; a device has one bridge",
                               port.text, first->second));
  }
}

void check_vnis(TomlTable& root, const std::vector<DescribedNode>& nodes) {
  std::map<std::tuple<std::uint32_t, std::uint16_t, bool>, const DescribedNode*> vnis;
  for (const auto& node : nodes)
    if (const auto* vxlan = section_of<net::VxlanSection>(*node.config);
        vxlan != nullptr && vxlan->vni != 0)
      if (const auto [first, added] =
              vnis.emplace(std::tuple(vxlan->vni, vxlan->port, vxlan->ipv6), &node);
          !added)
        root.error(node.position,
                   fmt::format(
                       "VNI {} on port {} is that of \"{}\" in line {} too; two VXLANs need two "
                       "numbers, or two ports",
                       vxlan->vni, vxlan->port, first->second->name, first->second->position.line));
}

}  // namespace

std::shared_ptr<const NodeConfig> read_zone_section(TomlTable& section, const std::string& name) {
  net::ZoneSection zone;
  zone.devices = section.strings("devices");
  if (zone.devices.empty()) section.error("devices", "a zone needs devices = [\"...\"]");
  zone.forward = section.strings("forward");
  zone.masquerade = section.boolean("masquerade").value_or(false);
  zone.ipv6 = section.boolean("ipv6").value_or(false);
  zone.clamp = read_clamp(section);
  std::vector<net::Located> needs;
  // Rules name devices that may come later; the clamp sits on the device itself.
  if (zone.clamp.on)
    for (const auto& device : zone.devices) needs.push_back({device, section.place("devices")});
  return std::make_shared<KernelNodeConfig>("zone",
                                            net::Located{name, section.place(section.position())},
                                            std::move(zone), std::move(needs));
}

void link_sections(TomlTable& root, std::vector<DescribedNode>& nodes) {
  resolve_zones(root, nodes);
  check_ports(root, nodes);
  check_vnis(root, nodes);
}

}  // namespace warren::config
