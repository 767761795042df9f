// [vxlan.NAME]
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "config/layer3_keys.h"
#include "config/sections.h"
#include "net/kernel_node.h"

namespace warren::config {

namespace {

bool is_multicast(const IpAddress& address) {
  return address.ipv6 ? address.bytes[0] == 0xff : (address.bytes[0] & 0xf0U) == 0xe0;
}
bool is_unspecified(const IpAddress& address) {
  return std::ranges::all_of(address.bytes, [](std::uint8_t byte) { return byte == 0; });
}

Result<IpAddress> parse_peer(std::string_view text) {
  auto peer = IpAddress::parse(text);
  if (peer && (is_multicast(*peer) || is_unspecified(*peer)))
    return fail(fmt::format("\"{}\" is no host's address; peers are listed each", text));
  return peer;
}

// "02:00:00:00:00:01 10.0.31.103"
Result<netlink::FdbEntry> parse_entry(std::string_view text) {
  const auto space = text.find(' ');
  if (space == std::string_view::npos)
    return fail(
        fmt::format("\"{}\" is no entry, such as \"02:00:00:00:00:01 10.0.31.103\": an address, "
                    "and the peer it is "
                    "behind",
                    text));
  const auto mac = parse_device_mac(text.substr(0, space));
  if (!mac) return tl::unexpected(mac.error());
  const auto peer = parse_peer(text.substr(text.find_first_not_of(' ', space)));
  if (!peer) return tl::unexpected(peer.error());
  return netlink::FdbEntry{.mac = *mac, .to = *peer};
}

using Dscp = std::optional<std::uint8_t>;

Result<Dscp> parse_dscp(std::string_view text) {
  if (text == "inherit") return Dscp();
  unsigned number = 64;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number < 64)
    return Dscp(static_cast<std::uint8_t>(number));
  return fail(fmt::format("dscp is \"{}\"; it must be a number up to 63, or \"inherit\"", text));
}

// The peers in one family, each once. The family is theirs, or that of `local`.
void read_peers(TomlTable& section, net::VxlanSection& vxlan) {
  vxlan.local = section.parse("local", parse_peer);
  std::optional<bool> ipv6;
  if (vxlan.local) ipv6 = vxlan.local->ipv6;
  for (const auto& text : section.located_strings("peers")) {
    const auto peer = parse_peer(text.text);
    if (!peer) {
      section.error(text.position, peer.error().message);
      continue;
    }
    if (ipv6 && *ipv6 != peer->ipv6)
      section.error(
          text.position,
          fmt::format("the peer {} is IPv{}, and what stands before it IPv{}: a VXLAN has one "
                      "family; make another one for the other",
                      text.text, peer->ipv6 ? 6 : 4, *ipv6 ? 6 : 4));
    if (std::ranges::find(vxlan.peers, *peer) != vxlan.peers.end())
      section.error(text.position, fmt::format("the peer {} is there twice", text.text));
    if (vxlan.local == *peer)
      section.error(text.position,
                    fmt::format("the peer {} is this host itself, as local says", text.text));
    ipv6 = ipv6.value_or(peer->ipv6);
    vxlan.peers.push_back(*peer);
  }
  vxlan.ipv6 = ipv6.value_or(false);
  vxlan.peers_where = section.place("peers");
  for (const auto& text : section.located_strings("static")) {
    const auto entry = parse_entry(text.text);
    if (!entry)
      section.error(text.position, entry.error().message);
    else if (std::ranges::find(vxlan.peers, *entry->to) == vxlan.peers.end())
      section.error(text.position,
                    fmt::format("{} is not among the peers", entry->to->to_string()));
    else
      vxlan.entries.push_back(*entry);
  }
}

void read_lower(TomlTable& section, net::VxlanSection& vxlan) {
  vxlan.over = read_device_name(section, "over");
  vxlan.bound = read_device_name(section, "dev");
  if (!vxlan.over.text.empty() && !vxlan.bound.text.empty())
    section.error("dev",
                  "over and dev are two ways to say it; over does not bind, and is the better one");
  if (!vxlan.bound.text.empty() && vxlan.mtu.kind == l3::MtuChoice::Kind::transparent)
    section.error(
        "dev",
        "mtu = \"transparent\" and dev cannot be together: the kernel caps the MTU of a VXLAN "
        "that is bound; say over in place of dev");
  if (!vxlan.bound.text.empty() && vxlan.engine == net::VxlanEngine::user)
    section.error("dev", "dev binds a device of the kernel; with engine = \"user\" say over");
}

}  // namespace

std::shared_ptr<const NodeConfig> read_vxlan_section(TomlTable& section, const std::string& name) {
  check_device_name(section, name);
  net::VxlanSection vxlan;
  vxlan.engine = read_choice(section, "engine", net::VxlanEngine::automatic,
                             {{"auto", net::VxlanEngine::automatic},
                              {"kernel", net::VxlanEngine::kernel},
                              {"user", net::VxlanEngine::user}});
  if (!section.has("vni"))
    section.error("vni", "a VXLAN needs its number, vni = 1 to 16777215, the same on all its ends");
  vxlan.vni = static_cast<std::uint32_t>(section.integer("vni", 1, 0xffffff).value_or(0));
  vxlan.port = static_cast<std::uint16_t>(section.integer("port", 1, 65535).value_or(4789));
  read_peers(section, vxlan);
  vxlan.learning = section.boolean("learning").value_or(true);
  vxlan.dscp = section.parse_id("dscp", parse_dscp).value_or(std::uint8_t{0});
  vxlan.mac = section.parse("mac", parse_device_mac);
  vxlan.mtu = section.parse_id("mtu", l3::MtuChoice::parse).value_or(l3::MtuChoice{});
  read_lower(section, vxlan);
  vxlan.clamp = read_clamp(section);
  vxlan.layer3 = read_layer3(section);
  if (vxlan.mtu.kind == l3::MtuChoice::Kind::fixed)
    check_ipv6_mtu(section, vxlan.mtu.value, vxlan.layer3);
  std::vector<net::Located> needs;
  for (const auto* device : {&vxlan.over, &vxlan.bound})
    if (!device->text.empty()) needs.push_back(*device);
  return std::make_shared<net::KernelNodeConfig>(
      "vxlan", net::Located{name, section.place(section.position())}, std::move(vxlan),
      std::move(needs));
}

}  // namespace warren::config
