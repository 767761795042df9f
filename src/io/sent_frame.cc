#include "io/sent_frame.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace warren {

Result<> enable_sent_frames(int fd, bool ipv6) {
  // With the copy comes the device, as if somebody had asked where a datagram arrived.
  const int flags = SOF_TIMESTAMPING_OPT_CMSG | SOF_TIMESTAMPING_SOFTWARE;
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) != 0)
    return fail_errno("ask for copies of what is sent (SO_TIMESTAMPING)");
  if (::setsockopt(fd, ipv6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                   ipv6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on) != 0)
    return fail_errno("ask for devices of what is sent");
  return {};
}

std::optional<SentFrame> read_sent_frame(int fd, std::span<std::byte> buffer) noexcept {
  for (;;) {
    iovec piece{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<std::byte, 512> control;
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const auto size = ::recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (size < 0) return std::nullopt;
    for (auto* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      SentFrame frame{buffer.first(static_cast<std::size_t>(size)), 0};
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        in_pktinfo info;
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        frame.device = info.ipi_ifindex;
      } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info;
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        frame.device = static_cast<int>(info.ipi6_ifindex);
      } else {
        continue;
      }
      return frame;
    }
  }
}

}  // namespace warren
