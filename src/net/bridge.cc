// [bridge.NAME]
#include "net/bridge_router.h"
#include "net/sections.h"

namespace warren::net {

Settings settings_of(const std::string& name, const BridgeSection& section) {
  Settings settings = {bridge_exists({.name = name, .stp = section.stp, .mac = section.mac})};
  for (const auto& port : section.ports) {
    settings.push_back(is_port_of(port.text, name));
    settings.push_back(is_up(port.text));
  }
  if (section.mtu) settings.push_back(has_mtu(name, *section.mtu));
  settings.push_back(is_up(name));
  add_layer3(settings, name, section.layer3);
  if (!section.router.networks.empty()) {
    std::vector<std::string> ports;
    for (const auto& port : section.ports) ports.push_back(port.text);
    add_bridge_to_router(settings, name, ports, section.router);
  }
  return settings;
}

}  // namespace warren::net
