// What is wrong with a file on this machine, and what it would change here.
#include <fmt/format.h>

#include <algorithm>

#include "net/kernel_node.h"

namespace warren::net {

namespace {

const KernelNodeConfig* kernel_config(const NodeSpec& node) {
  return dynamic_cast<const KernelNodeConfig*>(node.config.get());
}

void check_vxlan(const VxlanSection& section, const std::string& where, netlink::Socket& socket,
                 std::vector<std::string>& problems) {
  const auto links = socket.links();
  if (!links) return;
  for (const auto& link : *links) {
    const auto addresses = socket.addresses(link.name);
    for (const auto& address : addresses.value_or(std::vector<IpPrefix>{}))
      if (std::ranges::find(section.peers, address.address) != section.peers.end())
        problems.push_back(fmt::format("{}: the peer {} is this host itself ({} has that address)",
                                       section.peers_where, address.address.to_string(),
                                       link.name));
  }
  if (section.bound.text.empty() || section.mtu.kind != l3::MtuChoice::Kind::fixed) return;
  const auto lower = socket.link(section.bound.text);
  const auto fits = vxlan_fit(section, socket);
  if (lower && fits && section.mtu.value > *fits)
    problems.push_back(fmt::format(
        "{}: mtu is {}, and {} fit into {}: the kernel refuses more for a VXLAN that is bound; say "
        "over = \"{}\" in place of dev",
        where, section.mtu.value, *fits, section.bound.text, section.bound.text));
}

std::string lines(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  return text;
}

}  // namespace

Result<> check_kernel(const GraphSpec& spec, const GraphSpec& running) {
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  std::vector<std::string> problems;
  const auto made_here = [&](const std::string& device) {
    return std::ranges::any_of(spec.nodes, [&](const NodeSpec& node) {
      return node.name == device && node.config->kind() != "device";
    });
  };
  for (const auto& node : spec.nodes) {
    const auto* config = kernel_config(node);
    if (config == nullptr) continue;
    for (const auto& device : config->needs())
      if (!made_here(device.text) && !socket->link(device.text))
        problems.push_back(fmt::format("{}: there is no device \"{}\", and no section makes one",
                                       device.where, device.text));
    if (const auto* vxlan = std::get_if<VxlanSection>(&config->section()))
      check_vxlan(*vxlan, config->where(), *socket, problems);
    if (!problems.empty()) continue;
    const bool ours =
        std::ranges::find(running.nodes, node.name, &NodeSpec::name) != running.nodes.end();
    // Names that are taken, ports that belong to another instance.
    for (const auto& setting : config->settings()) {
      const auto there = setting.there(*socket);
      if (there && *there) continue;
      if (const auto undo = setting.undo(*socket);
          !undo && ((undo.error().code == EEXIST && !ours) || undo.error().code == EBUSY))
        problems.push_back(config->where() + ": " + undo.error().message);
    }
  }
  if (!problems.empty()) return fail(lines(problems));
  return {};
}

Result<std::vector<std::string>> changes(const GraphSpec& spec) {
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  std::vector<std::string> texts;
  for (const auto& node : spec.nodes) {
    const auto* config = kernel_config(node);
    if (config == nullptr) {
      texts.push_back(fmt::format("{}: runs a node of kind {}", node.name, node.config->kind()));
      continue;
    }
    for (const auto& setting : config->settings()) {
      const auto there = setting.there(*socket);
      if (!there || !*there) texts.push_back(fmt::format("{}: {}", node.name, setting.text()));
    }
  }
  return texts;
}

}  // namespace warren::net
