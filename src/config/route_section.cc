// [route.NAME] and [rule.NAME]: policy routing.
#include <fmt/format.h>

#include "config/layer3_keys.h"
#include "config/sections.h"
#include "net/kernel_node.h"

namespace warren::config {

namespace {

constexpr std::int64_t most = 0xffffffff;

std::optional<std::uint32_t> read_number(TomlTable& section, const char* key, std::int64_t min) {
  const auto value = section.integer(key, min, most);
  if (!value) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

}  // namespace

std::shared_ptr<const NodeConfig> read_route_section(TomlTable& section, const std::string& name) {
  net::RouteSection wanted;
  auto& route = wanted.route;
  if (!section.has("to")) section.error("to", "a route needs to = \"10.0.0.0/8\", or \"default\"");
  route.route.via = section.parse("via", IpAddress::parse);
  const auto parse_to = [&](std::string_view text) -> Result<IpPrefix> {
    if (text != "default") return IpPrefix::parse(text);
    return IpPrefix{IpAddress{.ipv6 = route.route.via && route.route.via->ipv6}, 0};
  };
  if (const auto to = section.parse("to", parse_to)) route.route.destination = *to;
  route.route.metric = read_number(section, "metric", 1);
  const auto device = read_device_name(section, "dev");
  route.device = device.text;
  route.table = read_number(section, "table", 1).value_or(254);
  route.onlink = section.boolean("onlink").value_or(false);
  if (!route.route.via && route.device.empty())
    section.error("via", "a route needs via = \"GATEWAY\", dev = \"DEVICE\", or both");
  if (route.route.via && route.route.via->ipv6 != route.route.destination.address.ipv6)
    section.error("via", "destination and gateway are of different families");
  std::vector<net::Located> needs;
  if (!device.text.empty()) needs.push_back(device);
  return std::make_shared<net::KernelNodeConfig>(
      "route", net::Located{name, section.place(section.position())}, std::move(wanted),
      std::move(needs));
}

std::shared_ptr<const NodeConfig> read_rule_section(TomlTable& section, const std::string& name) {
  netlink::Rule rule;
  rule.priority = read_number(section, "priority", 1);
  if (!section.has("priority"))
    section.error("priority", "a rule needs its place, such as priority = 1000; main is at 32766");
  if (!section.has("table")) section.error("table", "a rule needs table = NUMBER");
  rule.table = read_number(section, "table", 1).value_or(254);
  rule.from = section.parse("from", IpPrefix::parse);
  rule.to = section.parse("to", IpPrefix::parse);
  rule.mark = read_number(section, "mark", 1);
  rule.in_device = read_device_name(section, "in").text;
  rule.out_device = read_device_name(section, "out").text;
  if (rule.from && rule.to && rule.from->address.ipv6 != rule.to->address.ipv6)
    section.error("to", "from and to are of different families");
  net::RuleSection wanted;
  const auto* prefix = rule.from ? &rule.from : rule.to ? &rule.to : nullptr;
  for (const bool ipv6 : {false, true}) {
    rule.ipv6 = ipv6;
    if (prefix == nullptr || (*prefix)->address.ipv6 == ipv6) wanted.rules.push_back(rule);
  }
  return std::make_shared<net::KernelNodeConfig>(
      "rule", net::Located{name, section.place(section.position())}, std::move(wanted),
      std::vector<net::Located>{});
}

}  // namespace warren::config
