#include "net/undo.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>

#include "linux/nftables.h"
#include "linux/sysctl.h"
#include "net/bridge_router.h"
#include "net/journal.h"

namespace warren::net {

namespace {

using Words = std::vector<std::string>;

std::uint32_t number(const std::string& text) {
  std::uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

template <class T>
std::string optional_text(const std::optional<T>& value) {
  if (!value) return {};
  if constexpr (std::is_integral_v<T>)
    return std::to_string(*value);
  else
    return value->to_string();
}

// What is gone already needs no undoing.
Result<> unless_gone(Result<> done) {
  if (done) return done;
  constexpr std::array gone = {ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL};
  for (const int code : gone)
    if (done.error().code == code) return {};
  return done;
}

Result<> undo_link(const Words& words, netlink::Socket& socket) {
  const auto link = socket.link(words[1]);
  if (!link) return {};
  // Between making a device and noting whose it is there is a moment.
  if (!link->alias.empty() && link->alias != journal().alias()) return {};
  return socket.delete_link(words[1]);
}

Result<> undo_port(const Words& words, netlink::Socket& socket) {
  return socket.set_master(words[1], words[2]);
}

Result<> undo_up(const Words& words, netlink::Socket& socket) {
  return socket.set_up(words[1], false);
}

Result<> undo_mtu(const Words& words, netlink::Socket& socket) {
  const auto link = socket.link(words[1]);
  if (!link || link->mtu != number(words[2])) return {};
  return socket.set_mtu(words[1], number(words[3]));
}

Result<> undo_mac(const Words& words, netlink::Socket& socket) {
  const auto link = socket.link(words[1]);
  const auto former = MacAddress::parse(words[3]);
  if (!link || !former || link->mac.to_string() != words[2]) return {};
  return socket.set_mac(words[1], *former);
}

Result<> undo_address(const Words& words, netlink::Socket& socket) {
  const auto address = IpPrefix::parse(words[2]);
  if (!address) return tl::unexpected(address.error());
  return socket.remove_address(words[1], *address);
}

Result<> undo_route_words(const Words& words, netlink::Socket& socket) {
  const auto destination = IpPrefix::parse(words[1]);
  if (!destination) return tl::unexpected(destination.error());
  netlink::TableRoute route{.route = {*destination}, .table = number(words[4])};
  if (const auto via = IpAddress::parse(words[2])) route.route.via = *via;
  if (!words[3].empty()) route.route.metric = number(words[3]);
  if (!words[5].empty()) {
    const auto index = socket.index(words[5]);
    if (!index) return {};
    route.device = *index;
  }
  return socket.remove_route(route);
}

Result<> undo_rule_words(const Words& words, netlink::Socket& socket) {
  netlink::Rule rule{.ipv6 = words[1] == "6", .table = number(words[3])};
  if (!words[2].empty()) rule.priority = number(words[2]);
  if (const auto from = IpPrefix::parse(words[4])) rule.from = *from;
  if (const auto to = IpPrefix::parse(words[5])) rule.to = *to;
  if (!words[6].empty()) rule.mark = number(words[6]);
  rule.mask = number(words[7]);
  rule.in_device = words[8];
  rule.out_device = words[9];
  return socket.remove_rule(rule);
}

Result<> undo_fdb(const Words& words, netlink::Socket& socket) {
  const auto mac = MacAddress::parse(words[2]);
  const auto to = IpAddress::parse(words[3]);
  if (!mac || !to) return {};
  return socket.remove_fdb(words[1], {.mac = *mac, .to = *to});
}

Result<> undo_sysctl(const Words& words, netlink::Socket&) {
  const auto now = sysctl::read(words[1]);
  if (!now || *now != words[2]) return {};
  return sysctl::write(words[1], words[3]);
}

Result<> undo_table(const Words& words, netlink::Socket&) {
  return nftables::delete_table(words[1], words[2]);
}

Result<> undo_redirect(const Words& words, netlink::Socket& socket) {
  return stop_redirecting(words[1], socket);
}

// Every route of a table that only we use.
Result<> undo_routes(const Words& words, netlink::Socket& socket) {
  Result<> all;
  for (const bool ipv6 : {false, true}) {
    const auto present = socket.routes(ipv6);
    if (!present) return tl::unexpected(present.error());
    for (const auto& route : *present)
      if (route.table == number(words[1]))
        if (auto done = socket.remove_route(route); !done) all = done;
  }
  return all;
}

struct Kind {
  std::string_view name;
  std::size_t words;  // with the name
  Result<> (*perform)(const Words&, netlink::Socket&);
};

constexpr std::array<Kind, 13> kinds = {{
    {"link", 2, undo_link},
    {"port", 3, undo_port},
    {"up", 2, undo_up},
    {"mtu", 4, undo_mtu},
    {"mac", 4, undo_mac},
    {"address", 3, undo_address},
    {"route", 6, undo_route_words},
    {"rule", 10, undo_rule_words},
    {"fdb", 4, undo_fdb},
    {"sysctl", 4, undo_sysctl},
    {"table", 3, undo_table},
    {"redirect", 2, undo_redirect},
    {"routes", 2, undo_routes},
}};

}  // namespace

Result<> perform(const Undo& undo, netlink::Socket& socket) {
  const auto& words = undo.words;
  if (words.empty()) return {};
  for (const auto& kind : kinds)
    if (kind.name == words[0] && kind.words == words.size())
      return unless_gone(kind.perform(words, socket));
  return fail(
      fmt::format("the journal says \"{}\", which means nothing here", fmt::join(words, " ")),
      EINVAL);
}

Undo undo_route(const netlink::TableRoute& route, const std::string& device) {
  return {{"route", route.route.destination.to_string(), optional_text(route.route.via),
           optional_text(route.route.metric), std::to_string(route.table), device}};
}

Undo undo_rule(const netlink::Rule& rule) {
  return {{"rule", rule.ipv6 ? "6" : "4", optional_text(rule.priority), std::to_string(rule.table),
           optional_text(rule.from), optional_text(rule.to), optional_text(rule.mark),
           std::to_string(rule.mask), rule.in_device, rule.out_device}};
}

}  // namespace warren::net
