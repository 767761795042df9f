// Policy routing: rules, and routes in any table.
#include <fmt/format.h>
#include <linux/fib_rules.h>

#include "linux/netlink_message.h"

namespace warren::netlink {

namespace {

std::string describe(const TableRoute& route) {
  return fmt::format("route {}{} in table {}", route.route.destination.to_string(),
                     route.route.via ? " via " + route.route.via->to_string() : "", route.table);
}

std::string describe(const Rule& rule) {
  std::string text = "rule";
  if (rule.from) text += " from " + rule.from->to_string();
  if (rule.to) text += " to " + rule.to->to_string();
  if (rule.mark) text += fmt::format(" fwmark {:#x}/{:#x}", *rule.mark, rule.mask);
  if (!rule.in_device.empty()) text += " iif " + rule.in_device;
  if (!rule.out_device.empty()) text += " oif " + rule.out_device;
  return fmt::format("{} for {} to table {}", text, rule.ipv6 ? "IPv6" : "IPv4", rule.table);
}

std::optional<TableRoute> parse_route(const nlmsghdr* answer, bool ipv6) {
  const auto* body = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
  if (body->rtm_type != RTN_UNICAST || (body->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  TableRoute route;
  route.route.destination = {IpAddress{.ipv6 = ipv6}, body->rtm_dst_len};
  route.table = body->rtm_table;
  route.protocol = body->rtm_protocol;
  route.onlink = (body->rtm_flags & RTNH_F_ONLINK) != 0;
  for_each_attribute(answer, sizeof *body, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case RTA_DST:
        if (const auto address = get_address(attribute)) route.route.destination.address = *address;
        break;
      case RTA_GATEWAY:
        route.route.via = get_address(attribute);
        break;
      case RTA_OIF:
        route.device = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case RTA_PRIORITY:
        route.route.metric = mnl_attr_get_u32(attribute);
        break;
      case RTA_TABLE:
        route.table = mnl_attr_get_u32(attribute);
        break;
      default:
        break;
    }
  });
  if (route.table == RT_TABLE_LOCAL) return std::nullopt;
  return route;
}

Rule parse_rule(const nlmsghdr* answer, bool ipv6) {
  const auto* body = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(answer));
  Rule rule;
  rule.ipv6 = ipv6;
  rule.table = body->table;
  for_each_attribute(answer, sizeof *body, [&](const nlattr* attribute) {
    const auto prefix = [&](std::uint8_t length) -> std::optional<IpPrefix> {
      const auto address = get_address(attribute);
      return address ? std::optional(IpPrefix{*address, length}) : std::nullopt;
    };
    switch (mnl_attr_get_type(attribute)) {
      case FRA_PRIORITY:
        rule.priority = mnl_attr_get_u32(attribute);
        break;
      case FRA_TABLE:
        rule.table = mnl_attr_get_u32(attribute);
        break;
      case FRA_SRC:
        rule.from = prefix(body->src_len);
        break;
      case FRA_DST:
        rule.to = prefix(body->dst_len);
        break;
      case FRA_FWMARK:
        rule.mark = mnl_attr_get_u32(attribute);
        break;
      case FRA_FWMASK:
        rule.mask = mnl_attr_get_u32(attribute);
        break;
      case FRA_IIFNAME:
        rule.in_device = mnl_attr_get_str(attribute);
        break;
      case FRA_OIFNAME:
        rule.out_device = mnl_attr_get_str(attribute);
        break;
      default:
        break;
    }
  });
  return rule;
}

}  // namespace

Result<> Socket::change_route(const TableRoute& wanted, bool add) {
  const auto& route = wanted.route;
  rtmsg body{};
  body.rtm_family = family_of(route.destination.address);
  body.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
  body.rtm_table = static_cast<unsigned char>(wanted.table < 256 ? wanted.table : RT_TABLE_COMPAT);
  body.rtm_type = RTN_UNICAST;
  body.rtm_scope = RT_SCOPE_NOWHERE;
  if (wanted.onlink) body.rtm_flags = RTNH_F_ONLINK;
  if (add) {
    body.rtm_protocol = RTPROT_STATIC;
    body.rtm_scope = static_cast<unsigned char>(route.via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
  }
  Message message(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, body);
  if (route.destination.length > 0) message.put(RTA_DST, route.destination.address);
  message.put(RTA_TABLE, wanted.table);
  if (wanted.device != 0) message.put(RTA_OIF, static_cast<std::uint32_t>(wanted.device));
  if (route.via) message.put(RTA_GATEWAY, *route.via);
  if (route.metric) message.put(RTA_PRIORITY, *route.metric);
  auto done = request(message);
  if (!done)
    return fail_in(fmt::format("{} {}", add ? "add" : "remove", describe(wanted)), done.error());
  return done;
}

Result<> Socket::add_route(const TableRoute& route) { return change_route(route, true); }
Result<> Socket::remove_route(const TableRoute& route) { return change_route(route, false); }

Result<std::vector<TableRoute>> Socket::routes(bool ipv6) {
  rtmsg body{};
  body.rtm_family = ipv6 ? AF_INET6 : AF_INET;
  Message message(RTM_GETROUTE, NLM_F_DUMP, body);
  std::vector<TableRoute> routes;
  auto done = request(message, [&](const nlmsghdr* answer) {
    if (auto route = parse_route(answer, ipv6)) routes.push_back(*route);
  });
  if (!done) return fail_in("list the routes", done.error());
  return routes;
}

Result<> Socket::change_rule(const Rule& rule, bool add) {
  fib_rule_hdr body{};
  body.family = rule.ipv6 ? AF_INET6 : AF_INET;
  body.action = FR_ACT_TO_TBL;
  body.table = static_cast<unsigned char>(rule.table < 256 ? rule.table : RT_TABLE_UNSPEC);
  if (rule.from) body.src_len = static_cast<std::uint8_t>(rule.from->length);
  if (rule.to) body.dst_len = static_cast<std::uint8_t>(rule.to->length);
  Message message(add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, body);
  message.put(FRA_TABLE, rule.table);
  if (rule.priority) message.put(FRA_PRIORITY, *rule.priority);
  if (rule.from) message.put(FRA_SRC, rule.from->address);
  if (rule.to) message.put(FRA_DST, rule.to->address);
  if (rule.mark) {
    message.put(FRA_FWMARK, *rule.mark);
    message.put(FRA_FWMASK, rule.mask);
  }
  if (!rule.in_device.empty()) message.put(FRA_IIFNAME, rule.in_device);
  if (!rule.out_device.empty()) message.put(FRA_OIFNAME, rule.out_device);
  auto done = request(message);
  if (!done)
    return fail_in(fmt::format("{} {}", add ? "add" : "remove", describe(rule)), done.error());
  return done;
}

Result<> Socket::add_rule(const Rule& rule) { return change_rule(rule, true); }
Result<> Socket::remove_rule(const Rule& rule) { return change_rule(rule, false); }

Result<std::vector<Rule>> Socket::rules(bool ipv6) {
  fib_rule_hdr body{};
  body.family = ipv6 ? AF_INET6 : AF_INET;
  Message message(RTM_GETRULE, NLM_F_DUMP, body);
  std::vector<Rule> rules;
  auto done =
      request(message, [&](const nlmsghdr* answer) { rules.push_back(parse_rule(answer, ipv6)); });
  if (!done) return fail_in("list the policy rules", done.error());
  return rules;
}

}  // namespace warren::netlink
