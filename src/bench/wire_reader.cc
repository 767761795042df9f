#include "bench/wire_reader.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>

#include "bench/reader_tools.h"
#include "config/sections.h"

namespace warren::bench {

using config::TomlTable;

namespace {

const std::map<std::string, ethtool::Feature, std::less<>> features = {
    {"tx-checksum", ethtool::Feature::tx_checksum},
    {"tso", ethtool::Feature::tso},
    {"gso", ethtool::Feature::gso},
    {"gro", ethtool::Feature::gro},
    {"tx-udp-segmentation", ethtool::Feature::tx_udp_segmentation},
    {"tx-udp_tnl-segmentation", ethtool::Feature::tx_tunnel_segmentation},
};

// What the keys mean is for the network file's own reader to say.
void read_impairment(TomlTable& table, const std::string& key, std::string& lines) {
  if (key == "seed" || key == "queue") {
    if (const auto number = table.integer(key, 0, INT64_MAX))
      lines += fmt::format("{} = {}\n", key, *number);
  } else if (const auto value = table.string(key)) {
    lines += fmt::format("{} = \"{}\"\n", key, *value);
  }
}

}  // namespace

void read_device(TomlTable& table, Device& device) {
  device.addresses = table.parse_each("address", &IpPrefix::parse);
  device.routes = table.parse_each("routes", &config::parse_route);
  if (const auto mtu = table.integer("mtu", 68, 65535))
    device.mtu = static_cast<std::uint32_t>(*mtu);
  if (auto offload = table.table("offload")) {
    for (const auto& [name, feature] : features)
      if (const auto on = offload->boolean(name)) device.offload[feature] = *on;
  }
}

Wire read_wire(const std::string& name, TomlTable& table, const std::vector<std::string>& hosts) {
  Wire wire;
  wire.name = name;
  const Names joins = {"veth", "redirect-peer"};
  const auto join = table.parse("join", one_of(joins, "join")).value_or("veth");
  if (join == "redirect-peer") wire.join = Wire::Join::redirect_peer;
  if (auto impair = table.table("impair")) {
    if (table.has("join")) table.error("impair", "a wire has either \"join\" or \"impair\"");
    wire.join = Wire::Join::impaired;
    for (const auto& key : impair->keys()) read_impairment(*impair, key, wire.impair);
  }
  if (wire.join != Wire::Join::veth) wire.via = required(table, "via", one_of(hosts, "host"));
  Device common;
  read_device(table, common);
  auto ends = table.tables("end");
  if (ends.size() != 2)
    table.error(table.position(), fmt::format("a wire has two ends: [[wire.{}.end]]", name));
  for (auto& end : ends) {
    Device device = common;
    device.host = required(end, "host", one_of(hosts, "host"));
    device.name = required(end, "device", any_text);
    Device own;
    read_device(end, own);
    if (!own.addresses.empty()) device.addresses = own.addresses;
    if (!own.routes.empty()) device.routes = own.routes;
    if (own.mtu) device.mtu = own.mtu;
    for (const auto& [feature, on] : own.offload) device.offload[feature] = on;
    wire.ends.push_back(std::move(device));
  }
  if (wire.join == Wire::Join::impaired && wire.ends.size() == 2 &&
      wire.ends[0].name == wire.ends[1].name)
    table.error("impair", "the devices at the two ends of an impaired wire need different names");
  return wire;
}

}  // namespace warren::bench
