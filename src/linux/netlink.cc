#include "linux/netlink.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

#include "linux/netns.h"

namespace warren::netlink {

/// One request: a header, a fixed part, attributes.
class Message {
 public:
  template <class Body>
  Message(std::uint16_t type, unsigned flags, const Body& body) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof body), &body, sizeof body);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  [[nodiscard]] nlmsghdr* header() { return header_; }
  [[nodiscard]] ifinfomsg* link() {
    return static_cast<ifinfomsg*>(mnl_nlmsg_get_payload(header_));
  }

  void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void put(std::uint16_t type, std::string_view text) {
    mnl_attr_put_strz(header_, type, std::string(text).c_str());
  }
  void put(std::uint16_t type, const IpAddress& address) {
    mnl_attr_put(header_, type, address.bits() / 8, address.bytes.data());
  }
  void put(std::uint16_t type, const MacAddress& mac) {
    mnl_attr_put(header_, type, mac.bytes.size(), mac.bytes.data());
  }
  template <class Body>
  void put_body(const Body& body) {
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof body), &body, sizeof body);
  }
  /// Attributes that `fill` puts go inside one of `type`.
  template <class Fill>
  void nest(std::uint16_t type, Fill&& fill) {
    auto* outer = mnl_attr_nest_start(header_, type);
    fill();
    mnl_attr_nest_end(header_, outer);
  }

 private:
  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  nlmsghdr* header_ = nullptr;
};

namespace {

constexpr std::size_t answer_size = 64 * 1024;

Result<> check_name(std::string_view name) {
  if (name.empty()) return fail("a network device needs a name", EINVAL);
  if (name.size() >= IFNAMSIZ)
    return fail(fmt::format("device name \"{}\" is {} bytes long; the kernel takes at most {}",
                            name, name.size(), IFNAMSIZ - 1),
                ENAMETOOLONG);
  return {};
}

std::uint8_t family_of(const IpAddress& address) {
  return address.ipv6 ? std::uint8_t{AF_INET6} : std::uint8_t{AF_INET};
}

/// Calls `each` with every attribute in [first, first + length).
template <class Each>
void for_each_attribute(const void* first, std::size_t length, Each&& each) {
  const auto* attribute = static_cast<const nlattr*>(first);
  for (int left = static_cast<int>(length); mnl_attr_ok(attribute, left);
       attribute = mnl_attr_next(attribute)) {
    each(attribute);
    left -= static_cast<int>(MNL_ALIGN(attribute->nla_len));
  }
}

/// The attributes behind the fixed part of a message, which is `offset` bytes long.
template <class Each>
void for_each_attribute(const nlmsghdr* header, std::size_t offset, Each&& each) {
  const std::size_t length = mnl_nlmsg_get_payload_len(header);
  if (offset > length) return;
  for_each_attribute(mnl_nlmsg_get_payload_offset(header, offset), length - MNL_ALIGN(offset),
                     each);
}

/// What the kernel said besides the errno, from the attributes behind an nlmsgerr.
std::string extended_text(const nlmsghdr* header, const nlmsgerr* error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t offset = sizeof *error;
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string text;
  for_each_attribute(header, offset, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG) return;
    const char* start = mnl_attr_get_str(attribute);
    text.assign(start, ::strnlen(start, mnl_attr_get_payload_len(attribute)));
  });
  return text;
}

/// An errno as text, with the kernel's explanation and what to do where that is known.
tl::unexpected<Error> kernel_error(int code, const std::string& explanation) {
  std::string text = std::strerror(code);
  if (!explanation.empty()) text += fmt::format(" ({})", explanation);
  if (code == EPERM) text += "; run as root or with CAP_NET_ADMIN";
  return fail(text, code);
}

Link parse_link(const nlmsghdr* header) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  Link link;
  link.index = info->ifi_index;
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

Result<Socket> Socket::open() {
  Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
  if (!fd) return fail_errno("open a netlink socket");
  const int on = 1;
  // Older kernels lack these; then errors are only less clear.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return Socket{std::move(fd)};
}

Result<Socket> Socket::open(std::string_view netns) {
  const auto scope = NetnsScope::enter(netns);
  if (!scope) return tl::unexpected(scope.error());
  return open();
}

Result<Socket> Socket::open(int netns) {
  const auto scope = NetnsScope::enter(netns);
  if (!scope) return tl::unexpected(scope.error());
  return open();
}

Result<std::size_t> Socket::receive(char* buffer, std::size_t size) {
  for (;;) {
    const auto got = ::recv(fd_.get(), buffer, size, 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno("read a netlink answer");
  }
}

template <class Each>
Result<> Socket::request(Message& message, Each&& each) {
  auto* header = message.header();
  header->nlmsg_seq = ++sequence_;
  header->nlmsg_flags |= NLM_F_ACK;
  if (::send(fd_.get(), header, header->nlmsg_len, 0) < 0)
    return fail_errno("send a netlink request");

  const auto buffer = std::make_unique<char[]>(answer_size);
  for (;;) {
    const auto received = receive(buffer.get(), answer_size);
    if (!received) return tl::unexpected(received.error());
    int left = static_cast<int>(*received);
    for (auto* answer = static_cast<nlmsghdr*>(static_cast<void*>(buffer.get()));
         mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != sequence_) continue;
      if (answer->nlmsg_type == NLMSG_DONE) return {};
      if (answer->nlmsg_type != NLMSG_ERROR) {
        each(answer);
        continue;
      }
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer));
      if (error->error == 0) return {};
      return kernel_error(-error->error, extended_text(answer, error));
    }
  }
}

Result<> Socket::request(Message& message) {
  return request(message, [](const nlmsghdr*) {});
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

}  // namespace warren::netlink
