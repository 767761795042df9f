#include "io/udp_port.h"

#include <fmt/format.h>
#include <sys/time.h>

namespace warren {

namespace {

// Somebody else may have the other family's port; there are thousands to try.
constexpr int attempts = 100;

bool kernel_lacks(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

Result<std::uint16_t> port_of(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0)
    return fail_errno("ask for the port of a UDP socket");
  return SocketAddress::from(name).port;
}

// A device that takes no packets must not stop everything else.
Result<> bound_waiting(int fd) {
  constexpr timeval limit{.tv_sec = 0, .tv_usec = 50'000};
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
    return fail_errno("bound the time that sending waits");
  return {};
}

}  // namespace

Result<UdpPort> UdpPort::open(std::uint16_t port, std::uint32_t mark) {
  auto opened = open_both(port);
  for (int i = 0; port == 0 && !opened && opened.error().code == EADDRINUSE && i < attempts; ++i)
    opened = open_both(port);
  if (!opened) return opened;
  if (mark != 0)
    if (auto marked = opened->set_mark(mark); !marked) return tl::unexpected(marked.error());
  return opened;
}

Result<UdpPort> UdpPort::open_both(std::uint16_t port) {
  UdpPort out;
  out.port_ = port;
  for (const bool ipv6 : {false, true}) {
    SocketAddress local;
    local.ip.ipv6 = ipv6;
    local.port = out.port_;
    auto fd = open_udp_listener(local);
    if (!fd && ipv6 && kernel_lacks(fd.error().code)) break;
    if (!fd) return tl::unexpected(fd.error());
    if (auto bounded = bound_waiting(fd->get()); !bounded) return tl::unexpected(bounded.error());
    const auto bound = port_of(fd->get());
    if (!bound) return tl::unexpected(bound.error());
    out.port_ = *bound;
    out.sockets_[ipv6 ? 1 : 0] = std::move(*fd);
  }
  return out;
}

Result<> UdpPort::set_mark(std::uint32_t mark) {
  for (const auto& fd : sockets())
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
      return fail_errno(
          fmt::format("mark packets of UDP port {} with {:#x} (needs CAP_NET_ADMIN)", port_, mark));
  return {};
}

Result<> UdpPort::report_traffic_class() {
  const int on = 1;
  const int ipv4 = socket_for(false);
  const int ipv6 = socket_for(true);
  if (::setsockopt(ipv4, IPPROTO_IP, IP_RECVTOS, &on, sizeof on) != 0 ||
      (ipv6 >= 0 && ::setsockopt(ipv6, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on) != 0))
    return fail_errno(fmt::format("ask for the traffic class of what UDP port {} gets", port_));
  return {};
}

}  // namespace warren
