// Settings of addresses, routes, policy rules and forwarding tables.
#include <fmt/format.h>

#include <algorithm>

#include "net/setting.h"

namespace warren::net {

namespace {

// The device's name as an index, once it exists.
Result<netlink::TableRoute> resolve(const DeviceRoute& wanted, netlink::Socket& socket) {
  netlink::TableRoute route{.route = wanted.route, .table = wanted.table, .onlink = wanted.onlink};
  if (wanted.device.empty()) return route;
  const auto index = socket.index(wanted.device);
  if (!index) return tl::unexpected(index.error());
  route.device = *index;
  return route;
}

bool same_place(const netlink::TableRoute& present, const netlink::TableRoute& wanted) {
  if (present.route.destination != wanted.route.destination || present.table != wanted.table ||
      present.route.via != wanted.route.via)
    return false;
  if (wanted.device != 0 && present.device != wanted.device) return false;
  // The kernel gives IPv6 routes a metric of its own.
  return !wanted.route.metric || present.route.metric == wanted.route.metric;
}

}  // namespace

Setting has_address(const std::string& device, const IpPrefix& address) {
  Setting setting{.key = fmt::format("address {} on {}", address.to_string(), device)};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto present = socket.addresses(device);
    return present && std::ranges::find(*present, address) != present->end();
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> {
    return Undo{{"address", device, address.to_string()}};
  };
  setting.apply = [=](netlink::Socket& socket) { return socket.add_address(device, address); };
  return setting;
}

Setting has_route(const DeviceRoute& wanted) {
  auto key = "route " + wanted.route.destination.to_string();
  if (wanted.route.via) key += " via " + wanted.route.via->to_string();
  if (!wanted.device.empty()) key += " on " + wanted.device;
  if (wanted.route.metric) key += fmt::format(" metric {}", *wanted.route.metric);
  if (wanted.table != 254) key += fmt::format(" in table {}", wanted.table);
  Setting setting{.key = key};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto route = resolve(wanted, socket);
    const auto present = socket.routes(wanted.route.destination.address.ipv6);
    return route && present && std::ranges::any_of(*present, [&](const auto& other) {
             return same_place(other, *route);
           });
  };
  setting.undo = [=](netlink::Socket& socket) -> Result<Undo> {
    const auto route = resolve(wanted, socket);
    if (!route) return tl::unexpected(route.error());
    return undo_route(*route, wanted.device);
  };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto route = resolve(wanted, socket);
    if (!route) return tl::unexpected(route.error());
    return socket.add_route(*route);
  };
  return setting;
}

Setting is_reached_through(const IpAddress& to, const std::string& device) {
  auto setting = has_route({.route = {.destination = {to, to.bits()}}, .device = device});
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto way = socket.route_to(to);
    const auto index = socket.index(device);
    return way && index && way->device == *index;
  };
  return setting;
}

Setting has_rule(const netlink::Rule& rule) {
  std::string key = fmt::format("IPv{} rule {}:", rule.ipv6 ? 6 : 4, rule.priority.value_or(0));
  if (rule.from) key += " from " + rule.from->to_string();
  if (rule.to) key += " to " + rule.to->to_string();
  if (rule.mark) key += fmt::format(" mark {:#x}", *rule.mark);
  if (!rule.in_device.empty()) key += " in by " + rule.in_device;
  if (!rule.out_device.empty()) key += " out by " + rule.out_device;
  Setting setting{.key = key + fmt::format(" to table {}", rule.table)};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto present = socket.rules(rule.ipv6);
    return present && std::ranges::find(*present, rule) != present->end();
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> { return undo_rule(rule); };
  setting.apply = [=](netlink::Socket& socket) { return socket.add_rule(rule); };
  return setting;
}

Setting has_fdb_entry(const std::string& device, const netlink::FdbEntry& entry) {
  const bool flood = entry.mac == MacAddress{};
  Setting setting{.key = flood ? fmt::format("peer {} of {}", entry.to->to_string(), device)
                               : fmt::format("{} is behind {} of {}", entry.mac.to_string(),
                                             entry.to->to_string(), device)};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto present = socket.fdb(device);
    return present && std::ranges::any_of(*present, [&](const netlink::FdbEntry& other) {
             return other.mac == entry.mac && other.to == entry.to && other.permanent;
           });
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> {
    return Undo{{"fdb", device, entry.mac.to_string(), entry.to->to_string()}};
  };
  setting.apply = [=](netlink::Socket& socket) { return socket.add_fdb(device, entry); };
  return setting;
}

}  // namespace warren::net
