// The engines of VXLANs. One of ours becomes two nodes: NAME, which is the engine, with a TAP device or a
// port; and vxlan.NAME, which is what the kernel has to do with it. Over a WireGuard interface of the same
// file it is linked to that:
//
//     vx8 ── "over" ────── "vx8" ── wg0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "config/sections.h"
#include "net/kernel_node.h"
#include "tunnel/vxlan_node.h"

namespace warren::config {

namespace {

using net::KernelNodeConfig;
using net::section_of;
using net::VxlanEngine;
using net::VxlanSection;
using tunnel::VxlanNodeSettings;
using tunnel::WireguardNodeConfig;

class VxlanJoiner {
 public:
  VxlanJoiner(TomlTable& root, std::vector<DescribedNode>& nodes) : root_(root), nodes_(nodes) {
    for (const auto& ends : root.lists("links"))
      for (const auto& end : ends) linked_.insert(end.text.substr(0, end.text.find('.')));
  }

  [[nodiscard]] std::vector<LinkSpec> join();

 private:
  [[nodiscard]] DescribedNode* wireguard(const std::string& name);
  [[nodiscard]] std::optional<IpAddress> address_of(const DescribedNode& wireguard,
                                                    bool ipv6) const;
  void check(const DescribedNode& node, const VxlanSection& section);
  void make_ours(std::size_t index, VxlanSection section, DescribedNode* below,
                 const std::optional<IpAddress>& local);
  void link(const std::string& name, const VxlanSection& section, DescribedNode& below,
            const IpAddress& local);

  TomlTable& root_;
  std::vector<DescribedNode>& nodes_;
  std::set<std::string> linked_;
  std::map<std::uint16_t, std::pair<VxlanEngine, std::string>> ports_;  ///< who has a UDP port
  std::vector<LinkSpec> links_;
};

std::vector<LinkSpec> VxlanJoiner::join() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto* found = section_of<VxlanSection>(*nodes_[i].config);
    if (found == nullptr) continue;
    auto section = *found;
    section.device = !linked_.contains(nodes_[i].name);
    auto* below = wireguard(section.over.text);
    auto local = section.local;
    if (below != nullptr && !local) local = address_of(*below, section.ipv6);
    if (!local) below = nullptr;
    // Two messages through the kernel for each frame, in both directions, are what this saves.
    if (section.engine == VxlanEngine::automatic)
      section.engine =
          below != nullptr || !section.device ? VxlanEngine::user : VxlanEngine::kernel;
    check(nodes_[i], section);
    if (section.engine == VxlanEngine::kernel) {
      const auto& config = static_cast<const KernelNodeConfig&>(*nodes_[i].config);
      section.device = true;
      nodes_[i].config = config.with(std::move(section));
      continue;
    }
    make_ours(i++, std::move(section), below, local);
  }
  return std::move(links_);
}

DescribedNode* VxlanJoiner::wireguard(const std::string& name) {
  const auto node = std::ranges::find(nodes_, name, &DescribedNode::name);
  const bool found = node != nodes_.end() &&
                     dynamic_cast<const WireguardNodeConfig*>(node->config.get()) != nullptr;
  return found ? &*node : nullptr;
}

std::optional<IpAddress> VxlanJoiner::address_of(const DescribedNode& wireguard, bool ipv6) const {
  auto addresses =
      static_cast<const WireguardNodeConfig&>(*wireguard.config).settings().tun.addresses;
  const auto about = std::ranges::find(nodes_, "device." + wireguard.name, &DescribedNode::name);
  if (about != nodes_.end())
    if (const auto* device = section_of<net::DeviceSection>(*about->config))
      std::ranges::copy(device->layer3.addresses, std::back_inserter(addresses));
  const auto first = std::ranges::find_if(
      addresses, [&](const IpPrefix& prefix) { return prefix.address.ipv6 == ipv6; });
  if (first == addresses.end()) return std::nullopt;
  return first->address;
}

void VxlanJoiner::check(const DescribedNode& node, const VxlanSection& section) {
  const bool ours = section.engine == VxlanEngine::user;
  if (ours && !section.bound.text.empty() && !section.device)
    root_.error(node.position, fmt::format("\"{}\" is linked, and so our own engine's; dev binds a "
                                           "device of the kernel: say over",
                                           node.name));
  if (ours && !section.device &&
      (section.mac || section.clamp.on || section.mtu != l3::MtuChoice{} ||
       section.layer3 != net::Layer3{}))
    root_.error(node.position,
                fmt::format("\"{}\" is linked, and so has no device: mac, mtu, clamp-mss and "
                            "addresses belong to one",
                            node.name));
  const auto [first, added] = ports_.emplace(section.port, std::pair(section.engine, node.name));
  if (!added && first->second.first != section.engine)
    root_.error(node.position,
                fmt::format("UDP port {} is that of \"{}\", whose engine is {}: the two share no "
                            "port; give \"{}\" the same engine, or another port",
                            section.port, first->second.second, ours ? "the kernel's" : "our own",
                            node.name));
}

void VxlanJoiner::make_ours(std::size_t index, VxlanSection section, DescribedNode* below,
                            const std::optional<IpAddress>& local) {
  auto& node = nodes_[index];
  const auto& config = static_cast<const KernelNodeConfig&>(*node.config);
  VxlanNodeSettings settings;
  settings.vxlan.vni = section.vni;
  settings.vxlan.peers = section.peers;
  settings.vxlan.learning = section.learning;
  settings.vxlan.dscp = section.dscp;
  for (const auto& entry : section.entries)
    settings.vxlan.addresses.push_back({entry.mac, *entry.to});
  settings.port = section.port;
  settings.ipv6 = section.ipv6;
  settings.local = local;
  settings.over = section.over.text;
  // The device's MTU is a promise to hosts; what fits is what `auto` promises.
  settings.vxlan.carries_large = section.mtu.kind != l3::MtuChoice::Kind::automatic;
  if (section.device) {
    auto& device = settings.device.emplace();
    device.mode = TunMode::tap;
    device.name = node.name;
    device.mac = section.mac;
    device.offload = true;
  }
  if (below != nullptr) {
    settings.vxlan.packets = {*local, section.port};
    link(node.name, section, *below, *local);
  }
  DescribedNode kernels_part = node;
  kernels_part.name = "vxlan." + node.name;
  section.engine = VxlanEngine::user;
  kernels_part.config = config.with(std::move(section));
  node.config = std::make_shared<tunnel::VxlanNodeConfig>(std::move(settings));
  nodes_.insert(nodes_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(kernels_part));
}

void VxlanJoiner::link(const std::string& name, const VxlanSection& section, DescribedNode& below,
                       const IpAddress& local) {
  auto settings = static_cast<const WireguardNodeConfig&>(*below.config).settings();
  settings.overlays.push_back({name, local, section.port, section.vni});
  below.config = std::make_shared<WireguardNodeConfig>(std::move(settings));
  links_.push_back({name + ".over", below.name + "." + name});
}

}  // namespace

std::vector<LinkSpec> join_vxlans(TomlTable& root, std::vector<DescribedNode>& nodes) {
  return VxlanJoiner(root, nodes).join();
}

}  // namespace warren::config
