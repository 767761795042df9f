// [device.NAME], [route.NAME], [rule.NAME], and what any device may have.
#include <fmt/format.h>

#include "net/journal.h"
#include "net/sections.h"

namespace warren::net {

std::string table_name(const std::string& purpose) {
  return fmt::format("warren-{}-{}", journal().instance(), purpose);
}

MtuSource mtu_of_device(const std::string& device) {
  return [device](netlink::Socket& socket) -> Result<std::uint32_t> {
    return socket.link(device).map([](const netlink::Link& link) { return link.mtu; });
  };
}

void add_layer3(Settings& settings, const std::string& device, const Layer3& layer3) {
  for (const auto& address : layer3.addresses) settings.push_back(has_address(device, address));
  for (const auto& route : layer3.routes)
    settings.push_back(has_route({.route = route, .device = device}));
  if (layer3.same_way_back) add_same_way_back(settings, device, layer3.gateway);
}

Settings settings_of(const std::string& name, const DeviceSection& section) {
  Settings settings;
  if (section.mac) settings.push_back(has_mac(name, *section.mac));
  if (section.mtu) settings.push_back(has_mtu(name, *section.mtu));
  if (section.up) settings.push_back(is_up(name));
  add_layer3(settings, name, section.layer3);
  add_mss_clamp(settings, name, section.clamp, mtu_of_device(name));
  return settings;
}

Settings settings_of(const std::string&, const RouteSection& section) {
  return {has_route(section.route)};
}

Settings settings_of(const std::string&, const RuleSection& section) {
  Settings settings;
  for (const auto& rule : section.rules) settings.push_back(has_rule(rule));
  return settings;
}

}  // namespace warren::net
