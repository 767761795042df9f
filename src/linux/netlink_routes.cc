#include <fmt/format.h>
#include <linux/if_addr.h>

#include <algorithm>

#include "linux/netlink_message.h"

namespace warren::netlink {

std::uint8_t family_of(const IpAddress& address) {
  return address.ipv6 ? std::uint8_t{AF_INET6} : std::uint8_t{AF_INET};
}

std::optional<IpAddress> get_address(const nlattr* attribute) {
  const std::size_t length = mnl_attr_get_payload_len(attribute);
  IpAddress address;
  if (length != 4 && length != 16) return std::nullopt;
  address.ipv6 = length == 16;
  std::memcpy(address.bytes.data(), mnl_attr_get_payload(attribute), length);
  return address;
}

namespace {

std::optional<IpPrefix> parse_address(const nlmsghdr* header, int index) {
  const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(header));
  if (static_cast<int>(info->ifa_index) != index) return std::nullopt;
  IpPrefix prefix;
  prefix.address.ipv6 = info->ifa_family == AF_INET6;
  prefix.length = info->ifa_prefixlen;
  // IFA_ADDRESS is the far end of a point-to-point IPv4 link, IFA_LOCAL is ours.
  bool local_seen = false;
  for_each_attribute(header, sizeof *info, [&](const nlattr* attribute) {
    const auto type = mnl_attr_get_type(attribute);
    if (type != IFA_LOCAL && (type != IFA_ADDRESS || local_seen)) return;
    if (mnl_attr_get_payload_len(attribute) != prefix.address.bits() / 8) return;
    std::memcpy(prefix.address.bytes.data(), mnl_attr_get_payload(attribute),
                prefix.address.bits() / 8);
    local_seen = local_seen || type == IFA_LOCAL;
  });
  return prefix;
}

}  // namespace

Result<std::vector<IpPrefix>> Socket::addresses(std::string_view name) {
  const auto found = index(name);
  if (!found) return tl::unexpected(found.error());
  Message message(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  std::vector<IpPrefix> addresses;
  auto done = request(message, [&](const nlmsghdr* answer) {
    if (auto address = parse_address(answer, *found)) addresses.push_back(*address);
  });
  if (!done) return fail_in(fmt::format("list the addresses of {}", name), done.error());
  return addresses;
}

Result<std::optional<IpAddress>> Socket::first_address(std::string_view name, bool ipv6) {
  const auto all = addresses(name);
  if (!all) return tl::unexpected(all.error());
  for (const auto& [address, length] : *all) {
    const bool link_local =
        address.ipv6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0U) == 0x80;
    if (address.ipv6 == ipv6 && !link_local) return address;
  }
  return std::nullopt;
}

Result<> Socket::change_address(std::string_view name, const IpPrefix& address, bool add) {
  const auto action = fmt::format("{} {} {} {}", add ? "add address" : "remove address",
                                  address.to_string(), add ? "to" : "from", name);
  const auto found = index(name);
  if (!found) return fail_in(action, found.error());
  ifaddrmsg body{};
  body.ifa_family = family_of(address.address);
  body.ifa_prefixlen = static_cast<std::uint8_t>(address.length);
  body.ifa_index = static_cast<std::uint32_t>(*found);
  if (address.address.ipv6) body.ifa_flags = IFA_F_NODAD;
  Message message(add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0, body);
  message.put(IFA_LOCAL, address.address);
  message.put(IFA_ADDRESS, address.address);
  auto done = request(message);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> Socket::add_address(std::string_view name, const IpPrefix& address) {
  return change_address(name, address, true);
}
Result<> Socket::remove_address(std::string_view name, const IpPrefix& address) {
  return change_address(name, address, false);
}

Result<> Socket::change_route(std::string_view name, const Route& route, bool add) {
  const auto action = fmt::format("{} route {} through {}", add ? "add" : "remove",
                                  route.destination.to_string(), name);
  const auto found = index(name);
  if (!found) return fail_in(action, found.error());
  rtmsg body{};
  body.rtm_family = family_of(route.destination.address);
  body.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_type = RTN_UNICAST;
  body.rtm_scope = RT_SCOPE_NOWHERE;  // when removing: whichever it has
  if (add) {
    body.rtm_protocol = RTPROT_STATIC;
    body.rtm_scope = static_cast<unsigned char>(route.via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
  }
  Message message(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, body);
  if (route.destination.length > 0) message.put(RTA_DST, route.destination.address);
  message.put(RTA_OIF, static_cast<std::uint32_t>(*found));
  if (route.via && route.via->ipv6 == route.destination.address.ipv6) {
    message.put(RTA_GATEWAY, *route.via);
  } else if (route.via) {
    return fail(action + ": the gateway is of the other address family", EINVAL);
  }
  if (route.metric) message.put(RTA_PRIORITY, *route.metric);
  auto done = request(message);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> Socket::add_route(std::string_view name, const Route& route) {
  return change_route(name, route, true);
}
Result<> Socket::remove_route(std::string_view name, const Route& route) {
  return change_route(name, route, false);
}

Result<RouteTo> Socket::route_to(const IpAddress& destination, std::uint32_t mark) {
  rtmsg body{};
  body.rtm_family = family_of(destination);
  body.rtm_dst_len = static_cast<std::uint8_t>(destination.bits());
  Message message(RTM_GETROUTE, 0, body);
  message.put(RTA_DST, destination);
  if (mark != 0) message.put(RTA_MARK, mark);
  RouteTo route;
  auto done = request(message, [&](const nlmsghdr* answer) {
    for_each_attribute(answer, sizeof(rtmsg), [&](const nlattr* attribute) {
      IpAddress address{.ipv6 = destination.ipv6};
      const auto length = mnl_attr_get_payload_len(attribute);
      switch (mnl_attr_get_type(attribute)) {
        case RTA_OIF:
          route.device = static_cast<int>(mnl_attr_get_u32(attribute));
          break;
        case RTA_PREFSRC:
        case RTA_GATEWAY:
          if (length != address.bits() / 8) break;
          std::memcpy(address.bytes.data(), mnl_attr_get_payload(attribute), length);
          (mnl_attr_get_type(attribute) == RTA_PREFSRC ? route.source : route.gateway) = address;
          break;
        default:
          break;
      }
    });
  });
  const auto action = fmt::format("find the route to {}", destination.to_string());
  if (!done) return fail_in(action, done.error());
  if (route.device == 0) return fail(action + ": it leads to no device", ENETUNREACH);
  return route;
}

namespace {

// A route may have several ways, each through a device.
void for_each_device(const nlmsghdr* answer, const std::function<void(int)>& each) {
  for_each_attribute(answer, sizeof(rtmsg), [&](const nlattr* attribute) {
    const auto type = mnl_attr_get_type(attribute);
    if (type == RTA_OIF) each(static_cast<int>(mnl_attr_get_u32(attribute)));
    if (type != RTA_MULTIPATH) return;
    const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(attribute));
    for (int left = mnl_attr_get_payload_len(attribute); RTNH_OK(hop, left);
         left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len)), hop = RTNH_NEXT(hop))
      each(hop->rtnh_ifindex);
  });
}

}  // namespace

Result<std::vector<int>> Socket::default_route_devices() {
  std::vector<int> devices;
  for (const auto family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    rtmsg body{};
    body.rtm_family = family;
    Message message(RTM_GETROUTE, NLM_F_DUMP, body);
    auto done = request(message, [&](const nlmsghdr* answer) {
      const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
      if (route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN ||
          route->rtm_type != RTN_UNICAST)
        return;
      for_each_device(answer, [&](int device) {
        if (std::ranges::find(devices, device) == devices.end()) devices.push_back(device);
      });
    });
    if (!done) return fail_in("list the default routes", done.error());
  }
  return devices;
}

}  // namespace warren::netlink
