#include "config/mtu_paths.h"

#include <algorithm>
#include <set>

#include "net/kernel_node.h"
#include "tunnel/wireguard_node.h"

namespace warren::config {

namespace {

const tunnel::WireguardSettings* wireguard_of(const NodeSpec& node) {
  const auto* config = dynamic_cast<const tunnel::WireguardNodeConfig*>(node.config.get());
  return config == nullptr ? nullptr : &config->settings();
}

// Of a host's name it is not known which family it has; IPv4 is then the guess.
l3::Tunnel tunnel_of(const std::string& name, const tunnel::WireguardSettings& settings) {
  const bool ipv6 = std::ranges::any_of(settings.device.peers, [](const auto& peer) {
    return peer.endpoint && peer.endpoint->address.ipv6;
  });
  return {.name = name,
          .kind = l3::Encapsulation::wireguard,
          .ipv6_underlay = ipv6,
          .carrier = settings.icmp ? l3::Carrier::icmp : l3::Carrier::udp,
          .mtu = {l3::MtuChoice::Kind::fixed, settings.tun.mtu.value_or(1420)}};
}

// What the file says about a device that it does not make.
std::optional<std::uint32_t> mtu_in_file(const GraphSpec& spec, const std::string& device) {
  const auto node = std::ranges::find(spec.nodes, "device." + device, &NodeSpec::name);
  if (node == spec.nodes.end()) return std::nullopt;
  const auto* section = net::section_of<net::DeviceSection>(*node->config);
  return section == nullptr ? std::nullopt : section->mtu;
}

std::string bridge_of(const GraphSpec& spec, const std::string& port) {
  for (const auto& node : spec.nodes)
    if (const auto* bridge = net::section_of<net::BridgeSection>(*node.config))
      if (std::ranges::find(bridge->ports, port, &net::Located::text) != bridge->ports.end())
        return node.name;
  return {};
}

}  // namespace

std::vector<MtuPath> mtu_paths(
    const GraphSpec& spec,
    const std::function<std::optional<KnownDevice>(const std::string&)>& look,
    std::uint32_t wire_mtu) {
  std::vector<MtuPath> paths;
  std::set<std::string> carriers;  // of other tunnels
  for (const auto& node : spec.nodes) {
    const auto* vxlan = net::section_of<net::VxlanSection>(*node.config);
    if (vxlan == nullptr) continue;
    const auto& name = static_cast<const net::KernelNodeConfig&>(*node.config).subject();
    MtuPath path{.name = name, .bridge = bridge_of(spec, name), .vni = vxlan->vni};
    path.path.wire_mtu = wire_mtu;
    const auto& below = vxlan->over.text.empty() ? vxlan->bound.text : vxlan->over.text;
    const auto known = below.empty() ? std::nullopt : look(below);
    const auto told = mtu_in_file(spec, below);
    const auto node_below = std::ranges::find(spec.nodes, below, &NodeSpec::name);
    const auto* section_below =
        node_below == spec.nodes.end() ? nullptr : wireguard_of(*node_below);
    if (section_below != nullptr) {
      path.path.tunnels.push_back(tunnel_of(below, *section_below));
      carriers.insert(below);
    } else if (known && known->wireguard) {
      path.path.tunnels.push_back({.name = below,
                                   .kind = l3::Encapsulation::wireguard,
                                   .mtu = {l3::MtuChoice::Kind::fixed, told.value_or(known->mtu)}});
    } else if (!below.empty()) {
      path.path.wire = below;
      if (!known) path.guessed = below;
      if (told || known) path.path.wire_mtu = told ? *told : known->mtu;
    }
    path.path.tunnels.push_back({.name = name,
                                 .kind = l3::Encapsulation::vxlan,
                                 .ipv6_underlay = vxlan->ipv6,
                                 .mtu = vxlan->mtu});
    paths.push_back(std::move(path));
  }
  for (const auto& node : spec.nodes)
    if (const auto* wireguard = wireguard_of(node);
        wireguard != nullptr && !carriers.contains(node.name)) {
      MtuPath path{.name = node.name, .bridge = {}};
      path.path.wire_mtu = wire_mtu;
      path.path.tunnels.push_back(tunnel_of(node.name, *wireguard));
      paths.push_back(std::move(path));
    }
  return paths;
}

}  // namespace warren::config
