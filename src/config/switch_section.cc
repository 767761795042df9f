// [switch.NAME]
#include <fmt/format.h>

#include <algorithm>

#include "config/sections.h"
#include "config/suggest.h"

namespace warren::config {

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// Each once, and without a dot, since links write SWITCH.PORT.
std::vector<std::string> read_ports(TomlTable& section) {
  std::vector<std::string> ports;
  for (const auto& port : section.located_strings("ports")) {
    if (port.text.empty() || port.text.find('.') != std::string::npos)
      section.error(port.position,
                    fmt::format("\"{}\" cannot name a port: links write NODE.PORT, so a name has "
                                "no dot",
                                port.text));
    if (contains(ports, port.text))
      section.error(port.position, fmt::format("there are two ports \"{}\"", port.text));
    ports.push_back(port.text);
  }
  if (ports.empty())
    section.error("ports", "a switch needs the names of its ports, such as ports = [\"a\", \"b\"]");
  if (ports.size() > l2::SwitchSettings::max_ports)
    section.error("ports", fmt::format("{} ports are too many; {} are possible", ports.size(),
                                       l2::SwitchSettings::max_ports));
  return ports;
}

void check_port(TomlTable& section, TomlPosition position, const std::string& port,
                const std::vector<std::string>& ports) {
  if (!contains(ports, port))
    section.error(position, fmt::format("there is no port \"{}\"{}", port, suggest(port, ports)));
}

Result<l2::SwitchSettings::StaticAddress> parse_static(std::string_view text) {
  const auto space = text.find(' ');
  if (space == std::string_view::npos)
    return fail(
        fmt::format("\"{}\" is no static address, such as \"02:00:00:00:00:01 a\": an "
                    "address, and the port that it is behind",
                    text));
  const auto mac = MacAddress::parse(text.substr(0, space));
  if (!mac) return tl::unexpected(mac.error());
  const auto number = l2::mac_number(*mac);
  if (number == 0 || l2::is_group_mac(number))
    return fail(fmt::format("{} is no single host's address, such as \"02:00:00:00:00:01\"",
                            mac->to_string()));
  return l2::SwitchSettings::StaticAddress{
      *mac, std::string(text.substr(text.find_first_not_of(' ', space)))};
}

void read_static(TomlTable& section, l2::SwitchSettings& settings) {
  for (const auto& text : section.located_strings("static")) {
    auto address = parse_static(text.text);
    if (!address) {
      section.error(text.position, address.error().message);
      continue;
    }
    check_port(section, text.position, address->port, settings.ports);
    const auto same = [&](const auto& other) { return other.mac == address->mac; };
    if (std::ranges::any_of(settings.addresses, same))
      section.error(text.position, fmt::format("{} is there twice; it is behind one port",
                                               address->mac.to_string()));
    settings.addresses.push_back(std::move(*address));
  }
  if (settings.addresses.size() > settings.table.max_entries)
    section.error("static", fmt::format("{} static addresses are more than max-addresses = {}",
                                        settings.addresses.size(), settings.table.max_entries));
}

}  // namespace

l2::SwitchSettings read_switch_section(TomlTable& section) {
  l2::SwitchSettings settings;
  settings.ports = read_ports(section);
  for (const auto& port : section.located_strings("isolated")) {
    check_port(section, port.position, port.text, settings.ports);
    settings.isolated.push_back(port.text);
  }
  settings.table.ageing = section.duration("ageing").value_or(settings.table.ageing);
  if (settings.table.ageing.count() == 0)
    section.error("ageing", "an address that ages at once is never known; say \"1s\" or more");
  settings.table.max_entries = static_cast<std::size_t>(
      section.integer("max-addresses", 1, l2::MacTable::most_entries)
          .value_or(static_cast<std::int64_t>(settings.table.max_entries)));
  read_static(section, settings);
  return settings;
}

}  // namespace warren::config
