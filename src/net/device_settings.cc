// Settings of devices: that they exist, their bridge, MTU, address, state.
#include <fmt/format.h>

#include "net/journal.h"
#include "net/setting.h"

namespace warren::net {

Setting device_exists(const std::string& device, const std::string& kind, std::string parameters,
                      const std::function<Result<bool>(netlink::Socket&)>& same,
                      const std::function<Result<>(netlink::Socket&)>& create) {
  Setting setting{
      .key = fmt::format("{} {}", kind, device), .value = std::move(parameters), .essential = true};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto link = socket.link(device);
    if (!link || link->kind != kind || link->alias != journal().alias()) return false;
    return same(socket);
  };
  setting.undo = [=](netlink::Socket& socket) -> Result<Undo> {
    if (const auto link = socket.link(device)) {
      const auto owner = link->alias.starts_with("warren:")
                             ? "the instance " + link->alias.substr(7)
                             : std::string("something else");
      if (link->alias != journal().alias())
        return fail(
            fmt::format("{} exists already, made by {}; choose another name, or delete it with "
                        "`ip link delete {}`",
                        device, owner, device),
            EEXIST);
    }
    return Undo{{"link", device}};
  };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    // Ours, but not as it should be: somebody changed it.
    if (socket.link(device))
      if (auto done = socket.delete_link(device); !done) return done;
    if (auto done = create(socket); !done) return done;
    return socket.set_alias(device, journal().alias());
  };
  return setting;
}

Setting bridge_exists(const netlink::BridgeConfig& bridge) {
  return device_exists(
      bridge.name, "bridge",
      fmt::format("STP {}{}", bridge.stp ? "on" : "off",
                  bridge.mac ? ", address " + bridge.mac->to_string() : ""),
      [](netlink::Socket&) -> Result<bool> { return true; },
      [=](netlink::Socket& socket) { return socket.create_bridge(bridge); });
}

Setting is_port_of(const std::string& device, const std::string& bridge) {
  Setting setting{.key = "bridge of " + device, .value = bridge};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto port = socket.link(device);
    const auto master = socket.link(bridge);
    return port && master && port->master == master->index;
  };
  setting.undo = [=](netlink::Socket& socket) -> Result<Undo> {
    const auto port = socket.link(device);
    if (!port) return tl::unexpected(port.error());
    const auto former = port->master == 0 ? Result<netlink::Link>{} : socket.link(port->master);
    if (former && former->alias.starts_with("warren:") && former->alias != journal().alias())
      return fail(
          fmt::format("{} is a port of {}, which the instance {} made; a device has one bridge",
                      device, former->name, former->alias.substr(7)),
          EBUSY);
    return Undo{{"port", device, former ? former->name : ""}};
  };
  setting.apply = [=](netlink::Socket& socket) { return socket.set_master(device, bridge); };
  return setting;
}

Setting is_up(const std::string& device) {
  Setting setting{.key = "state of " + device, .value = "up"};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto link = socket.link(device);
    return link && link->up;
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> { return Undo{{"up", device}}; };
  setting.apply = [=](netlink::Socket& socket) { return socket.set_up(device, true); };
  return setting;
}

Setting has_mac(const std::string& device, const MacAddress& mac) {
  Setting setting{.key = "address of " + device, .value = mac.to_string()};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto link = socket.link(device);
    return link && link->mac == mac;
  };
  setting.undo = [=](netlink::Socket& socket) -> Result<Undo> {
    const auto link = socket.link(device);
    if (!link) return tl::unexpected(link.error());
    return Undo{{"mac", device, mac.to_string(), link->mac.to_string()}};
  };
  setting.apply = [=](netlink::Socket& socket) { return socket.set_mac(device, mac); };
  return setting;
}

Setting has_mtu(const std::string& device, std::string text, const MtuSource& wanted) {
  Setting setting{.key = "MTU of " + device, .value = std::move(text)};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto link = socket.link(device);
    const auto mtu = wanted(socket);
    return link && mtu && link->mtu == *mtu;
  };
  setting.undo = [=](netlink::Socket& socket) -> Result<Undo> {
    const auto link = socket.link(device);
    const auto mtu = wanted(socket);
    if (!link) return tl::unexpected(link.error());
    if (!mtu) return tl::unexpected(mtu.error());
    return Undo{{"mtu", device, std::to_string(*mtu), std::to_string(link->mtu)}};
  };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto mtu = wanted(socket);
    if (!mtu) return tl::unexpected(mtu.error());
    return socket.set_mtu(device, *mtu);
  };
  return setting;
}

Setting has_mtu(const std::string& device, std::uint32_t mtu) {
  return has_mtu(device, std::to_string(mtu),
                 [mtu](netlink::Socket&) -> Result<std::uint32_t> { return mtu; });
}

}  // namespace warren::net
