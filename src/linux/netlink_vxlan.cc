// VXLAN devices and their forwarding tables.
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>

#include "linux/netlink_message.h"

namespace warren::netlink {

Result<> Socket::create_vxlan(const VxlanConfig& config) {
  if (auto good = check_name(config.name); !good) return good;
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.put(IFLA_IFNAME, config.name);
  if (config.mac) message.put(IFLA_ADDRESS, *config.mac);
  if (config.mtu) message.put(IFLA_MTU, *config.mtu);
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "vxlan");
    message.nest(IFLA_INFO_DATA, [&] {
      message.put(IFLA_VXLAN_ID, config.vni);
      message.put_network(IFLA_VXLAN_PORT, config.port);
      message.put(IFLA_VXLAN_LEARNING,
                  std::uint8_t{config.learning ? std::uint8_t{1} : std::uint8_t{0}});
      message.put(IFLA_VXLAN_TOS, config.tos);
      if (config.lower != 0) message.put(IFLA_VXLAN_LINK, static_cast<std::uint32_t>(config.lower));
      // Without a local address, the family of the socket is told by an unspecified one.
      if (config.local)
        message.put(
            config.local->ipv6 ? std::uint16_t{IFLA_VXLAN_LOCAL6} : std::uint16_t{IFLA_VXLAN_LOCAL},
            *config.local);
      else if (config.ipv6)
        message.put(IFLA_VXLAN_LOCAL6, IpAddress{.ipv6 = true});
    });
  });
  auto done = request(message);
  if (!done && done.error().code == EOPNOTSUPP)
    return fail(fmt::format("make VXLAN {}: the kernel has no VXLAN (CONFIG_VXLAN; modprobe vxlan)",
                            config.name),
                EOPNOTSUPP);
  if (!done)
    return fail_in(
        fmt::format("make VXLAN {} with VNI {} on port {}", config.name, config.vni, config.port),
        done.error());
  return done;
}

Result<> Socket::set_vxlan_local(std::string_view name, const IpAddress& local) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "vxlan");
    message.nest(IFLA_INFO_DATA, [&] {
      message.put(local.ipv6 ? std::uint16_t{IFLA_VXLAN_LOCAL6} : std::uint16_t{IFLA_VXLAN_LOCAL},
                  local);
    });
  });
  return change_link(name, fmt::format("let {} send from {}", name, local.to_string()), message);
}

namespace {

void parse_vxlan(const nlattr* data, VxlanConfig& vxlan) {
  for_each_attribute(mnl_attr_get_payload(data), mnl_attr_get_payload_len(data),
                     [&](const nlattr* attribute) {
                       switch (mnl_attr_get_type(attribute)) {
                         case IFLA_VXLAN_ID:
                           vxlan.vni = mnl_attr_get_u32(attribute);
                           break;
                         case IFLA_VXLAN_PORT:
                           vxlan.port = ntohs(mnl_attr_get_u16(attribute));
                           break;
                         case IFLA_VXLAN_LINK:
                           vxlan.lower = static_cast<int>(mnl_attr_get_u32(attribute));
                           break;
                         case IFLA_VXLAN_LEARNING:
                           vxlan.learning = mnl_attr_get_u8(attribute) != 0;
                           break;
                         case IFLA_VXLAN_TOS:
                           vxlan.tos = mnl_attr_get_u8(attribute);
                           break;
                         case IFLA_VXLAN_LOCAL:
                         case IFLA_VXLAN_LOCAL6:
                           vxlan.local = get_address(attribute);
                           vxlan.ipv6 = vxlan.local && vxlan.local->ipv6;
                           break;
                         default:
                           break;
                       }
                     });
}

}  // namespace

Result<VxlanConfig> Socket::vxlan(std::string_view name) {
  if (auto good = check_name(name); !good) return tl::unexpected(good.error());
  Message message(RTM_GETLINK, 0, ifinfomsg{});
  message.put(IFLA_IFNAME, name);
  VxlanConfig vxlan;
  bool is_vxlan = false;
  auto done = request(message, [&](const nlmsghdr* answer) {
    const auto link = parse_link(answer);
    is_vxlan = link.kind == "vxlan";
    vxlan.name = link.name;
    vxlan.mac = link.mac;
    vxlan.mtu = link.mtu;
    for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr* outer) {
      if (mnl_attr_get_type(outer) != IFLA_LINKINFO || !is_vxlan) return;
      for_each_attribute(mnl_attr_get_payload(outer), mnl_attr_get_payload_len(outer),
                         [&](const nlattr* inner) {
                           if (mnl_attr_get_type(inner) == IFLA_INFO_DATA)
                             parse_vxlan(inner, vxlan);
                         });
    });
  });
  const auto action = fmt::format("read VXLAN {}", name);
  if (!done) return fail_in(action, done.error());
  if (!is_vxlan) return fail(action + ": it is no VXLAN device", EINVAL);
  return vxlan;
}

Result<> Socket::change_fdb(std::string_view name, const FdbEntry& entry, bool add) {
  const auto action = fmt::format(
      "{} {} -> {} {} the forwarding table of {}", add ? "add" : "remove", entry.mac.to_string(),
      entry.to ? entry.to->to_string() : "here", add ? "to" : "from", name);
  const auto found = index(name);
  if (!found) return fail_in(action, found.error());
  ndmsg body{};
  body.ndm_family = PF_BRIDGE;
  body.ndm_ifindex = *found;
  body.ndm_flags = NTF_SELF;
  body.ndm_state = NUD_PERMANENT;
  // Appended: an entry for all zeros has many destinations.
  Message message(add ? RTM_NEWNEIGH : RTM_DELNEIGH, add ? NLM_F_CREATE | NLM_F_APPEND : 0, body);
  message.put(NDA_LLADDR, entry.mac);
  if (entry.to) message.put(NDA_DST, *entry.to);
  auto done = request(message);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> Socket::add_fdb(std::string_view name, const FdbEntry& entry) {
  return change_fdb(name, entry, true);
}
Result<> Socket::remove_fdb(std::string_view name, const FdbEntry& entry) {
  return change_fdb(name, entry, false);
}

Result<std::vector<FdbEntry>> Socket::fdb(std::string_view name) {
  const auto action = fmt::format("list the forwarding table of {}", name);
  const auto device = link(name);
  if (!device) return fail_in(action, device.error());
  ndmsg body{};
  body.ndm_family = PF_BRIDGE;
  Message message(RTM_GETNEIGH, NLM_F_DUMP, body);
  std::vector<FdbEntry> entries;
  auto done = request(message, [&](const nlmsghdr* answer) {
    const auto* neighbour = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(answer));
    FdbEntry entry{.mac = {},
                   .to = {},
                   .device = neighbour->ndm_ifindex,
                   .permanent = (neighbour->ndm_state & NUD_PERMANENT) != 0};
    int master = 0;
    bool has_mac = false;
    for_each_attribute(answer, sizeof *neighbour, [&](const nlattr* attribute) {
      switch (mnl_attr_get_type(attribute)) {
        case NDA_LLADDR:
          has_mac = mnl_attr_get_payload_len(attribute) == entry.mac.bytes.size();
          if (has_mac) std::memcpy(entry.mac.bytes.data(), mnl_attr_get_payload(attribute), 6);
          break;
        case NDA_DST:
          entry.to = get_address(attribute);
          break;
        case NDA_MASTER:
          master = static_cast<int>(mnl_attr_get_u32(attribute));
          break;
        default:
          break;
      }
    });
    const bool own = entry.device == device->index && (neighbour->ndm_flags & NTF_SELF) != 0;
    if (has_mac && (own || (device->kind == "bridge" && master == device->index)))
      entries.push_back(entry);
  });
  if (!done) return fail_in(action, done.error());
  return entries;
}

}  // namespace warren::netlink
