// `same-way-back`: what came in by a device is answered by it, whatever the routes say.
//
//     first packet of a connection, in by br-lan2    the connection is marked (connection tracking)
//     answer, made here or passing through           the packet gets the mark of its connection
//     rule: mark -> table                            default via the gateway, on br-lan2
//
// The mark is in the upper half of the word: WireGuard and others use the lower one. The table's number
// follows from the device's name, so that it is the same at each start.
#include <fmt/format.h>
#include <linux/if_arp.h>

#include <algorithm>

#include "linux/sysctl.h"
#include "net/rules_json.h"
#include "net/sections.h"

namespace warren::net {

namespace {

using namespace rules;

constexpr std::uint32_t upper_half = 0xffff0000;
constexpr std::uint32_t lower_half = 0x0000ffff;
constexpr std::uint32_t rule_priority = 5000;

std::uint32_t mark_of(const std::string& device) { return way_back_table(device) << 16; }

std::string marking_rules(const std::string& name, const std::string& device) {
  const auto mark = mark_of(device);
  Table table("inet", name);
  const auto is_answer = match(ct("direction"), "==", "reply");
  const auto is_ours = match(masked(ct("mark"), upper_half), "==", mark);
  const auto give_mark = set_to(meta("mark"), either(masked(meta("mark"), lower_half), mark));
  table.chain("prerouting", "filter", "prerouting", -150);
  table.rule("prerouting",
             {match(meta("iifname"), "==", device), match(ct("direction"), "==", "original"),
              set_to(ct("mark"), either(masked(ct("mark"), lower_half), mark))});
  table.rule("prerouting", {is_answer, is_ours, give_mark});
  table.chain("output", "route", "output", -150);
  table.rule("output", {is_answer, is_ours, give_mark});
  // The device may put the packet into another, which has its own way to go (VXLAN looks routes up with
  // the mark of what is inside).
  table.chain("postrouting", "filter", "postrouting", -150);
  table.rule("postrouting", {match(meta("oifname"), "==", device),
                             match(masked(meta("mark"), upper_half), "==", mark),
                             set_to(meta("mark"), masked(meta("mark"), lower_half))});
  return table.text();
}

// The routes that answers need: to the device's own networks, and to everybody through the gateway.
Result<std::vector<netlink::TableRoute>> ways_back(const std::string& device,
                                                   const std::optional<IpAddress>& gateway,
                                                   netlink::Socket& socket) {
  const auto link = socket.link(device);
  if (!link) return tl::unexpected(link.error());
  const auto addresses = socket.addresses(device);
  if (!addresses) return tl::unexpected(addresses.error());
  if (link->type == ARPHRD_ETHER && !gateway)
    return fail(
        fmt::format("{} leads to many hosts: same-way-back needs gateway = \"...\" there", device),
        EINVAL);
  std::vector<netlink::TableRoute> ways;
  const auto add = [&](const IpPrefix& to, const std::optional<IpAddress>& via) {
    netlink::TableRoute way{.route = {.destination = to, .via = via},
                            .table = way_back_table(device),
                            .device = link->index,
                            .onlink = via.has_value()};
    if (std::ranges::find(ways, way.route.destination,
                          [](const auto& w) { return w.route.destination; }) == ways.end())
      ways.push_back(way);
  };
  bool ipv6 = gateway && gateway->ipv6;
  for (auto network : *addresses) {
    ipv6 = ipv6 || network.address.ipv6;
    for (unsigned bit = network.length; bit < network.address.bits(); ++bit)
      network.address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
    add(network, std::nullopt);
  }
  for (const bool family : {false, true})
    if (gateway ? gateway->ipv6 == family : (!family || ipv6))
      add({IpAddress{.ipv6 = family}, 0}, gateway);
  return ways;
}

bool has_way(const std::vector<netlink::TableRoute>& present, const netlink::TableRoute& wanted) {
  return std::ranges::any_of(present, [&](const netlink::TableRoute& other) {
    return other.table == wanted.table && other.device == wanted.device &&
           other.route.destination == wanted.route.destination &&
           other.route.via == wanted.route.via;
  });
}

Setting has_ways_back(const std::string& device, const std::optional<IpAddress>& gateway) {
  Setting setting{.key = fmt::format("routes of table {}", way_back_table(device)),
                  .value = fmt::format("back through {}{}", device,
                                       gateway ? " and " + gateway->to_string() : "")};
  const auto missing = [=](netlink::Socket& socket) -> Result<std::vector<netlink::TableRoute>> {
    auto ways = ways_back(device, gateway, socket);
    if (!ways) return ways;
    for (const bool ipv6 : {false, true}) {
      const auto present = socket.routes(ipv6);
      if (!present) return tl::unexpected(present.error());
      std::erase_if(*ways, [&](const auto& way) { return has_way(*present, way); });
    }
    return ways;
  };
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto ways = missing(socket);
    return ways && ways->empty();
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> {
    return Undo{{"routes", std::to_string(way_back_table(device))}};
  };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto ways = missing(socket);
    if (!ways) return tl::unexpected(ways.error());
    for (const auto& way : *ways)
      if (auto done = socket.add_route(way); !done) return done;
    return {};
  };
  return setting;
}

// Strict reverse path filtering drops what comes in by another device than its answer would leave by
// without the mark. Where it is strict, it becomes loose; where it is off, it stays off.
Setting accepts_detours(const std::string& device) {
  const auto name = "net/ipv4/conf/" + device + "/rp_filter";
  auto setting = has_sysctl(name, "2");
  setting.there = [=](netlink::Socket&) -> Result<bool> {
    const auto own = sysctl::read(name);
    const auto all = sysctl::read("net/ipv4/conf/all/rp_filter");
    return own && all && std::max(*own, *all) != "1";
  };
  return setting;
}

}  // namespace

std::uint32_t way_back_table(const std::string& device) {
  std::uint32_t hash = 2166136261;  // FNV-1a
  for (const char c : device) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619;
  return 10000 + hash % 20000;
}

void add_same_way_back(Settings& settings, const std::string& device,
                       const std::optional<IpAddress>& gateway) {
  settings.push_back(has_ways_back(device, gateway));
  const auto mark = mark_of(device);
  for (const bool ipv6 : {false, true})
    settings.push_back(has_rule({.ipv6 = ipv6,
                                 .priority = rule_priority,
                                 .table = way_back_table(device),
                                 .from = {},
                                 .to = {},
                                 .mark = mark,
                                 .mask = upper_half,
                                 .in_device = {},
                                 .out_device = {}}));
  const auto name = table_name("back-" + device);
  settings.push_back(has_table(
      "inet", name, "answer by " + device + " what came in by it",
      [=](netlink::Socket&) -> Result<std::string> { return marking_rules(name, device); }));
  settings.push_back(accepts_detours(device));
}

}  // namespace warren::net
