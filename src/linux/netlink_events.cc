#include "linux/netlink_events.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

namespace warren::netlink {

Result<Events> Events::open(Of what) {
  Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)};
  if (!fd) return fail_errno("open a netlink socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (what != Of::routes) address.nl_groups |= RTMGRP_LINK;
  if (what != Of::links) address.nl_groups |= RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(fd.get(), static_cast<sockaddr*>(static_cast<void*>(&address)), sizeof address) != 0)
    return fail_errno("listen for changes of links and routes");
  return Events{std::move(fd)};
}

void Events::clear() noexcept {
  std::array<char, 8192> buffer;
  // ENOBUFS says that events were lost; that is a change too, and the next read goes on.
  while (::recv(fd_.get(), buffer.data(), buffer.size(), 0) >= 0 || errno == ENOBUFS) {
  }
}

}  // namespace warren::netlink
