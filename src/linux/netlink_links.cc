#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/veth.h>

#include "linux/netlink_message.h"

namespace warren::netlink {

Result<> check_name(std::string_view name) {
  if (name.empty()) return fail("a network device needs a name", EINVAL);
  if (name.size() >= IFNAMSIZ)
    return fail(fmt::format("device name \"{}\" is {} bytes long; the kernel takes at most {}",
                            name, name.size(), IFNAMSIZ - 1),
                ENAMETOOLONG);
  return {};
}

Link parse_link(const nlmsghdr* header) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  Link link;
  link.index = info->ifi_index;
  link.type = info->ifi_type;
  link.up = (info->ifi_flags & IFF_UP) != 0;
  link.running = (info->ifi_flags & IFF_RUNNING) != 0;
  for_each_attribute(header, sizeof *info, [&](const nlattr* attribute) {
    const auto length = mnl_attr_get_payload_len(attribute);
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME:
        link.name = mnl_attr_get_str(attribute);
        break;
      case IFLA_MTU:
        link.mtu = mnl_attr_get_u32(attribute);
        break;
      case IFLA_TXQLEN:
        link.tx_queue_length = mnl_attr_get_u32(attribute);
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case IFLA_LINK:
        link.lower = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case IFLA_IFALIAS:
        link.alias = mnl_attr_get_str(attribute);
        break;
      case IFLA_ADDRESS:
        if (length == link.mac.bytes.size())
          std::memcpy(link.mac.bytes.data(), mnl_attr_get_payload(attribute), length);
        break;
      case IFLA_LINKINFO:
        for_each_attribute(mnl_attr_get_payload(attribute), length, [&](const nlattr* inner) {
          if (mnl_attr_get_type(inner) == IFLA_INFO_KIND) link.kind = mnl_attr_get_str(inner);
        });
        break;
      default:
        break;
    }
  });
  return link;
}

Result<std::vector<Link>> Socket::links() {
  Message message(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  std::vector<Link> links;
  auto done =
      request(message, [&](const nlmsghdr* answer) { links.push_back(parse_link(answer)); });
  if (!done) return fail_in("list network devices", done.error());
  return links;
}

Result<Link> Socket::link(std::string_view name) {
  if (auto good = check_name(name); !good) return tl::unexpected(good.error());
  Message message(RTM_GETLINK, 0, ifinfomsg{});
  message.put(IFLA_IFNAME, name);
  Link link;
  auto done = request(message, [&](const nlmsghdr* answer) { link = parse_link(answer); });
  if (!done) return fail_in(fmt::format("find network device {}", name), done.error());
  return link;
}

Result<Link> Socket::link(int index) {
  ifinfomsg body{};
  body.ifi_index = index;
  Message message(RTM_GETLINK, 0, body);
  Link link;
  auto done = request(message, [&](const nlmsghdr* answer) { link = parse_link(answer); });
  if (!done) return fail_in(fmt::format("find network device {}", index), done.error());
  return link;
}

Result<int> Socket::index(std::string_view name) {
  return link(name).map([](const Link& link) { return link.index; });
}

Result<> Socket::create_veth(const VethConfig& config) {
  for (const auto& name : {config.name, config.peer_name})
    if (auto good = check_name(name); !good) return good;

  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  const auto put_end = [&](const std::string& name, const std::optional<MacAddress>& mac) {
    message.put(IFLA_IFNAME, name);
    if (config.mtu) message.put(IFLA_MTU, *config.mtu);
    if (mac) message.put(IFLA_ADDRESS, *mac);
    if (config.queues) message.put(IFLA_NUM_TX_QUEUES, *config.queues);
    if (config.queues) message.put(IFLA_NUM_RX_QUEUES, *config.queues);
  };
  put_end(config.name, config.mac);
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "veth");
    message.nest(IFLA_INFO_DATA, [&] {
      message.nest(VETH_INFO_PEER, [&] {
        message.put_body(ifinfomsg{});
        put_end(config.peer_name, config.peer_mac);
        if (config.peer_netns)
          message.put(IFLA_NET_NS_FD, static_cast<std::uint32_t>(*config.peer_netns));
      });
    });
  });
  auto done = request(message);
  if (!done)
    return fail_in(fmt::format("make veth pair {} - {}", config.name, config.peer_name),
                   done.error());
  return done;
}

Result<> Socket::create_macvlan(const MacvlanConfig& config) {
  const auto action = fmt::format("make macvlan {} over {}", config.name, config.lower);
  if (auto good = check_name(config.name); !good) return good;
  const auto lower = index(config.lower);
  if (!lower) return fail_in(action, lower.error());
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.put(IFLA_IFNAME, config.name);
  message.put(IFLA_LINK, static_cast<std::uint32_t>(*lower));
  message.put(IFLA_MTU, config.mtu);
  message.put(IFLA_GSO_MAX_SEGS, config.gso_max_segments);
  message.put(IFLA_GSO_MAX_SIZE, config.gso_max_size);
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "macvlan");
    message.nest(IFLA_INFO_DATA,
                 [&] { message.put(IFLA_MACVLAN_MODE, std::uint32_t{MACVLAN_MODE_PRIVATE}); });
  });
  auto done = request(message);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> Socket::change_link(std::string_view name, const std::string& action, Message& message) {
  const auto found = index(name);
  if (!found) return fail_in(action, found.error());
  message.link()->ifi_index = *found;
  auto done = request(message);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> Socket::delete_link(std::string_view name) {
  Message message(RTM_DELLINK, 0, ifinfomsg{});
  return change_link(name, fmt::format("delete {}", name), message);
}

Result<> Socket::move_link(std::string_view name, int netns, std::string_view new_name) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns));
  if (!new_name.empty()) {
    if (auto good = check_name(new_name); !good) return good;
    message.put(IFLA_IFNAME, new_name);
  }
  return change_link(name, fmt::format("move {} to another network namespace", name), message);
}

Result<> Socket::rename_link(std::string_view name, std::string_view new_name) {
  if (auto good = check_name(new_name); !good) return good;
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_IFNAME, new_name);
  return change_link(name, fmt::format("rename {} to {}", name, new_name), message);
}

Result<> Socket::set_up(std::string_view name, bool up) {
  ifinfomsg body{};
  body.ifi_change = IFF_UP;
  body.ifi_flags = up ? unsigned{IFF_UP} : 0U;
  Message message(RTM_NEWLINK, 0, body);
  return change_link(name, fmt::format("set {} {}", name, up ? "up" : "down"), message);
}

Result<> Socket::set_mtu(std::string_view name, std::uint32_t mtu) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_MTU, mtu);
  return change_link(name, fmt::format("set the MTU of {} to {}", name, mtu), message);
}

Result<> Socket::set_mac(std::string_view name, const MacAddress& mac) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_ADDRESS, mac);
  return change_link(name, fmt::format("set the MAC address of {} to {}", name, mac.to_string()),
                     message);
}

Result<> Socket::set_tx_queue_length(std::string_view name, std::uint32_t packets) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_TXQLEN, packets);
  return change_link(name, fmt::format("set the queue length of {} to {}", name, packets), message);
}

Result<> Socket::set_no_ipv6_address(std::string_view name) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.nest(IFLA_AF_SPEC, [&] {
    message.nest(AF_INET6, [&] {
      message.put(IFLA_INET6_ADDR_GEN_MODE, std::uint8_t{IN6_ADDR_GEN_MODE_NONE});
    });
  });
  return change_link(name, fmt::format("keep IPv6 addresses from {}", name), message);
}

Result<std::size_t> Socket::count_filters(int index, std::uint32_t parent) {
  tcmsg body{};
  body.tcm_ifindex = index;
  body.tcm_parent = parent;
  Message message(RTM_GETTFILTER, NLM_F_DUMP, body);
  std::size_t filters = 0;
  auto done = request(message, [&](const nlmsghdr*) { ++filters; });
  if (!done) return fail_in(fmt::format("list the filters of device {}", index), done.error());
  return filters;
}

}  // namespace warren::netlink
