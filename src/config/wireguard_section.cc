#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <map>
#include <set>

#include "config/sections.h"
#include "tunnel/secret_file.h"
#include "wireguard/config_file.h"
#include "wireguard/key_text.h"

namespace warren::config {

namespace {

using carrier::Tag;
using carrier::Ticket;
using tunnel::IcmpFlowsSettings;
using tunnel::WireguardSettings;
using wireguard::DeviceConfig;
using wireguard::PeerConfig;

constexpr std::uint32_t default_mtu = 1420;  // what fits into 1500 bytes over IPv6

/// What a [[peer]] says of the carrier.
struct PeerCarrier {
  crypto::PublicKey peer{};
  TomlPosition position;
  std::optional<Ticket> ticket{};
  std::optional<Tag> tag{};
  std::string user{};
};

Result<crypto::PublicKey> parse_public_key(std::string_view text) {
  crypto::PublicKey key{};
  if (!wireguard::decode_base64(text, key))
    return fail("a public key is 44 characters of base64, such as `wg pubkey` prints");
  return key;
}

Result<PeerConfig> parse_peer_endpoint(std::string_view text) {
  PeerConfig peer;
  if (auto good = wireguard::parse_endpoint(text, peer, ::if_nametoindex); !good)
    return fail("endpoint: " + good.error().message);
  return peer;
}

/// The path of a file that holds one key. It is read now, to find mistakes.
std::string read_key_path(TomlTable& section, const char* key) {
  const auto text = section.string(key);
  if (!text) return {};
  auto path = section.beside_file(*text);
  if (const auto good = tunnel::read_key_file(path); !good)
    section.error(key, good.error().message);
  return path;
}

PeerCarrier read_peer_carrier(TomlTable& section, const crypto::PublicKey& peer,
                              const std::string& default_user) {
  PeerCarrier carrier{.peer = peer, .position = section.position()};
  carrier.ticket = section.parse("ticket", Ticket::parse);
  carrier.tag = section.parse("tag", Tag::parse);
  carrier.user = section.parse("user", carrier::parse_user).value_or(default_user);
  if (section.has("ticket") && section.has("tag"))
    section.error("tag", "the ticket has a tag already: give one of the two");
  if (section.has("user") && !section.has("tag"))
    section.error("user", "user belongs to a tag: it is the name of a peer that we serve");
  return carrier;
}

PeerConfig read_peer(TomlTable& section, WireguardSettings& settings) {
  PeerConfig peer;
  if (!section.has("public-key"))
    section.error("public-key", "a peer needs public-key: who it is follows from nothing else");
  if (const auto key = section.parse("public-key", parse_public_key)) peer.public_key = *key;
  settings.preshared_key_files.push_back(read_key_path(section, "preshared-key-file"));
  if (const auto endpoint = section.parse("endpoint", parse_peer_endpoint)) {
    peer.endpoint = endpoint->endpoint;
    peer.endpoint_name = endpoint->endpoint_name;
  }
  for (const auto& prefix : section.parse_each("allowed-ips", IpPrefix::parse))
    peer.allowed_ips.push_back({prefix, false});
  peer.persistent_keepalive =
      static_cast<std::uint16_t>(section.integer("keepalive", 0, 65535).value_or(0));
  return peer;
}

// Everything from this file: keys, peers, and what else it says of the interface.
void read_peers(TomlTable& section, WireguardSettings& settings, std::vector<PeerCarrier>& carriers,
                const std::string& name) {
  if (!section.has("private-key-file"))
    section.error(
        "private-key-file",
        "private-key-file is missing: `wg genkey` makes a key, in a file that only root may "
        "read; or give config = \"wg0.conf\"");
  settings.private_key_file = read_key_path(section, "private-key-file");
  settings.device.listen_port =
      static_cast<std::uint16_t>(section.integer("listen", 0, 65535).value_or(0));
  settings.device.fwmark =
      static_cast<std::uint32_t>(section.integer("fwmark", 0, UINT32_MAX).value_or(0));
  settings.tun.addresses = section.parse_each("address", IpPrefix::parse);
  std::map<crypto::PublicKey, unsigned> lines;
  for (auto& table : section.tables("peer")) {
    auto peer = read_peer(table, settings);
    const auto line = table.position().line;
    if (const auto [first, added] = lines.emplace(peer.public_key, line);
        !added && table.has("public-key"))
      table.error("public-key", fmt::format("the peer in line {} has this key", first->second));
    carriers.push_back(
        read_peer_carrier(table, peer.public_key, fmt::format("{}-{}", name, carriers.size() + 1)));
    settings.device.peers.push_back(std::move(peer));
  }
}

// From a file as wg(8) and wg-quick(8) have it; a [[peer]] then says only what such a file cannot.
void read_config_file(TomlTable& section, WireguardSettings& settings,
                      std::vector<PeerCarrier>& carriers, const std::string& name) {
  settings.config_file = section.beside_file(section.string("config").value_or(""));
  for (const char* key : {"private-key-file", "listen", "address", "fwmark"})
    if (section.has(key))
      section.error(key, fmt::format("{} comes from the file that config names", key));
  const auto text = tunnel::read_secret_file(settings.config_file);
  if (!text) return section.error("config", text.error().message);
  auto file = wireguard::parse_config_file(*text, settings.config_file);
  if (!file) {
    // Its lines, each at our key, so that every line of the message says where.
    std::string_view lines = file.error().message;
    while (!lines.empty()) {
      const auto end = std::min(lines.find('\n'), lines.size());
      section.error("config", std::string(lines.substr(0, end)));
      lines.remove_prefix(std::min(end + 1, lines.size()));
    }
    return;
  }
  settings.tun.addresses = std::move(file->addresses);
  if (file->mtu) settings.tun.mtu = file->mtu;
  settings.device = std::move(file->device);
  for (auto& table : section.tables("peer")) {
    const auto key = table.parse("public-key", parse_public_key);
    if (!table.has("public-key") ||
        (key && std::ranges::find(settings.device.peers, *key, &PeerConfig::public_key) ==
                    settings.device.peers.end()))
      table.error("public-key",
                  "this says something of a peer in the file that config names: "
                  "public-key must be that of one");
    if (key)
      carriers.push_back(
          read_peer_carrier(table, *key, fmt::format("{}-{}", name, carriers.size() + 1)));
  }
}

// The flow of one peer: we are the client of a peer that has an endpoint, and the server of others.
void add_flow(TomlTable& section, PeerConfig& peer, const PeerCarrier& carrier,
              IcmpFlowsSettings& flows) {
  if (carrier.ticket) {
    const auto text = carrier.ticket->server.to_string();
    PeerConfig parsed;
    if (const auto good = wireguard::parse_endpoint(text, parsed); !good)
      return section.error(carrier.position, "ticket: " + good.error().message);
    const bool has_endpoint = peer.endpoint || peer.endpoint_name;
    if (has_endpoint &&
        (peer.endpoint != parsed.endpoint || peer.endpoint_name != parsed.endpoint_name))
      return section.error(carrier.position,
                           fmt::format("the ticket is of {}, and endpoint says another: leave "
                                       "endpoint out, or make them the same",
                                       text));
    peer.endpoint = parsed.endpoint;
    peer.endpoint_name = parsed.endpoint_name;
    flows.servers.push_back({.ticket = *carrier.ticket});
  } else if (peer.endpoint) {
    flows.servers.push_back(
        {.ticket = {{}, {peer.endpoint->address.to_string(), peer.endpoint->port}, *carrier.tag}});
  } else if (peer.endpoint_name) {
    flows.servers.push_back(
        {.ticket = {{}, {peer.endpoint_name->host, peer.endpoint_name->port}, *carrier.tag}});
  } else {
    carrier::IcmpUser user;
    user.name = carrier.user;
    user.tag = *carrier.tag;
    flows.users.push_back(std::move(user));
  }
}

void check_flows(TomlTable& section, const IcmpFlowsSettings& flows, std::uint16_t listen) {
  if (!flows.users.empty() && listen == 0)
    section.error(
        "listen",
        "peers without an endpoint come to us: that needs a port, such as listen = 51820");
  std::set<std::string> seen;
  const auto once = [&](const std::string& what) {
    if (!seen.insert(what).second)
      section.error(section.position(), "two peers have the same " + what);
  };
  for (const auto& user : flows.users) {
    once("tag " + user.tag.to_string());
    once("user " + user.name);
  }
  for (const auto& server : flows.servers) once("endpoint " + server.ticket.server.to_string());
}

void read_carrier(TomlTable& section, WireguardSettings& settings,
                  const std::vector<PeerCarrier>& carriers) {
  const bool icmp = read_choice<bool>(section, "carrier", false, {{"udp", false}, {"icmp", true}});
  IcmpFlowsSettings flows;
  flows.devices = read_icmp_devices(section, flows.options);
  if (!icmp) {
    for (const char* key : {"dev", "checksum", "xdp"})
      if (section.has(key))
        section.error(key, fmt::format("{} belongs to carrier = \"icmp\"", key));
    for (const auto& carrier : carriers)
      if (carrier.ticket || carrier.tag)
        section.error(carrier.position, "ticket and tag belong to carrier = \"icmp\"");
    return;
  }
  for (auto& peer : settings.device.peers) {
    const auto carrier = std::ranges::find(carriers, peer.public_key, &PeerCarrier::peer);
    if (carrier == carriers.end() || (!carrier->ticket && !carrier->tag))
      section.error(
          carrier == carriers.end() ? section.position() : carrier->position,
          "carrier = \"icmp\": a [[peer]] needs ticket = \"warren-icmp:...\" where it is the "
          "server, or tag = \"3fa2\"");
    else
      add_flow(section, peer, *carrier, flows);
  }
  check_flows(section, flows, settings.device.listen_port.value_or(0));
  settings.icmp = std::move(flows);
}

void read_routes(TomlTable& section, WireguardSettings& settings) {
  if (!section.boolean("routes").value_or(true)) return;
  settings.tun.routes = tunnel::routes_of(settings.device);
  if (std::ranges::any_of(settings.tun.routes,
                          [](const Route& route) { return route.destination.length == 0; }))
    section.error(
        section.position(),
        "a default route through the tunnel would lead the tunnel's own packets into it: use "
        "wg-quick, which makes rules for that, or say routes = false and make your own with "
        "fwmark");
}

}  // namespace

WireguardSettings read_wireguard_section(TomlTable& section, const std::string& name) {
  check_device_name(section, name);
  WireguardSettings settings;
  settings.tun.name = name;
  settings.tun.offload = true;
  settings.tun.mtu = default_mtu;
  settings.tun.netns = section.string("netns").value_or("");
  settings.threads = static_cast<unsigned>(section.integer("threads", 0, 64).value_or(0));
  std::vector<PeerCarrier> carriers;
  if (section.has("config"))
    read_config_file(section, settings, carriers, name);
  else
    read_peers(section, settings, carriers, name);
  if (const auto mtu = section.integer("mtu", 576, 65535))
    settings.tun.mtu = static_cast<std::uint32_t>(*mtu);
  read_carrier(section, settings, carriers);
  read_routes(section, settings);
  // Where it cannot be read, that has been said.
  if (const auto config = tunnel::read_secrets(settings))
    settings.fingerprint = tunnel::fingerprint_of(*config);
  settings.device.private_key.reset();
  for (auto& peer : settings.device.peers) peer.preshared_key.reset();
  return settings;
}

}  // namespace warren::config
