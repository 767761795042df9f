// [bridge.NAME]
#include <fmt/format.h>

#include <algorithm>

#include "config/layer3_keys.h"
#include "config/sections.h"
#include "net/kernel_node.h"

namespace warren::config {

namespace {

net::BridgeToRouter read_router(TomlTable& section) {
  using Method = net::BridgeToRouter::Method;
  constexpr std::size_t most_networks = 8;
  net::BridgeToRouter router;
  router.networks = section.parse_each("bridge-to-router",
                                       [](std::string_view text) { return IpPrefix::parse(text); });
  if (router.networks.size() > most_networks)
    section.error("bridge-to-router",
                  fmt::format("at most {} networks are possible", most_networks));
  const auto parse = [](std::string_view text) -> Result<Method> {
    if (text == "auto") return Method::automatic;
    if (text == "nft") return Method::nft;
    if (text == "tc") return Method::tc;
    return fail(fmt::format(
        "bridge-to-router-with is \"{}\"; it must be \"auto\", \"nft\" or \"tc\"", text));
  };
  if (const auto method = section.parse("bridge-to-router-with", parse)) router.method = *method;
  return router;
}

}  // namespace

std::shared_ptr<const NodeConfig> read_bridge_section(TomlTable& section, const std::string& name) {
  check_device_name(section, name);
  net::BridgeSection bridge;
  for (const auto& port : section.located_strings("ports")) {
    const auto same = std::ranges::find(bridge.ports, port.text, &net::Located::text);
    if (port.text == name)
      section.error(port.position, fmt::format("the bridge \"{}\" cannot be its own port", name));
    else if (same != bridge.ports.end())
      section.error(port.position, fmt::format("the port \"{}\" is there twice", port.text));
    else
      bridge.ports.push_back(locate(section, port));
  }
  bridge.stp = section.boolean("stp").value_or(false);
  bridge.mac = section.parse("mac", parse_device_mac);
  if (const auto mtu = section.integer("mtu", 68, 65535))
    bridge.mtu = static_cast<std::uint32_t>(*mtu);
  bridge.layer3 = read_layer3(section);
  if (bridge.mtu) check_ipv6_mtu(section, *bridge.mtu, bridge.layer3);
  if (bridge.layer3.same_way_back && !bridge.layer3.gateway)
    section.error(
        "same-way-back",
        "a bridge leads to many hosts: say which of them answers go through, with gateway = "
        "\"...\"");
  bridge.router = read_router(section);
  auto needs = bridge.ports;
  return std::make_shared<net::KernelNodeConfig>(
      "bridge", net::Located{name, section.place(section.position())}, std::move(bridge),
      std::move(needs));
}

}  // namespace warren::config
