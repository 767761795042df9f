// [device.NAME], and the keys that other sections about devices share.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "config/layer3_keys.h"
#include "config/sections.h"
#include "net/kernel_node.h"

namespace warren::config {

net::Located locate(const TomlTable& section, const TomlString& text) {
  return {text.text, section.place(text.position)};
}

net::Located read_device_name(TomlTable& section, const char* key) {
  const auto text = section.located_string(key);
  if (!text) return {};
  if (text->text.empty() || text->text.size() > 15)
    section.error(
        key, fmt::format("{} is \"{}\"; it must name a device, 1 to 15 bytes", key, text->text));
  return locate(section, *text);
}

net::Layer3 read_layer3(TomlTable& section) {
  net::Layer3 layer3;
  layer3.addresses =
      section.parse_each("address", [](std::string_view text) { return IpPrefix::parse(text); });
  layer3.routes = section.parse_each("routes", parse_route);
  layer3.same_way_back = section.boolean("same-way-back").value_or(false);
  layer3.gateway = section.parse("gateway", IpAddress::parse);
  if (layer3.gateway && !layer3.same_way_back)
    section.error("gateway",
                  "gateway belongs to same-way-back = true; for a default route say routes = "
                  "[\"default via GATEWAY\"]");
  return layer3;
}

net::MssClamp read_clamp(TomlTable& section) {
  const auto parse = [](std::string_view text) -> Result<net::MssClamp> {
    if (text == "off") return net::MssClamp{};
    if (text == "auto") return net::MssClamp{.on = true};
    std::uint32_t size = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (status != std::errc{} || end != text.data() + text.size() || size < 536 || size > 65495)
      return fail(
          fmt::format("clamp-mss is \"{}\"; it must be \"auto\", \"off\", or bytes of an IPv4 "
                      "segment, 536 to 65495",
                      text));
    return net::MssClamp{.on = true, .mtu = size + 40};
  };
  return section.parse_id("clamp-mss", parse).value_or(net::MssClamp{});
}

void check_ipv6_mtu(TomlTable& section, std::uint32_t mtu, const net::Layer3& layer3) {
  const bool ipv6 = std::ranges::any_of(layer3.addresses,
                                        [](const IpPrefix& prefix) { return prefix.address.ipv6; });
  if (ipv6 && mtu < l3::min_ipv6_mtu)
    section.error(
        "mtu", fmt::format("mtu is {}, and there are IPv6 addresses: IPv6 needs at least {}", mtu,
                           l3::min_ipv6_mtu));
}

std::shared_ptr<const NodeConfig> read_device_section(TomlTable& section, const std::string& name) {
  check_device_name(section, name);
  net::DeviceSection device;
  device.up = section.boolean("up").value_or(true);
  if (const auto mtu = section.integer("mtu", 68, 65535))
    device.mtu = static_cast<std::uint32_t>(*mtu);
  device.mac = section.parse("mac", parse_device_mac);
  device.clamp = read_clamp(section);
  device.layer3 = read_layer3(section);
  if (device.mtu) check_ipv6_mtu(section, *device.mtu, device.layer3);
  const net::Located subject{name, section.place(section.position())};
  return std::make_shared<net::KernelNodeConfig>("device", subject, std::move(device),
                                                 std::vector{subject});
}

}  // namespace warren::config
