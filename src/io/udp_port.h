/// One UDP port of this machine, over IPv4 and IPv6: what a tunnel listens on and sends from.
///
/// Datagrams come and go in batches and merged (UDP_GRO, UDP_SEGMENT). Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <warren/fd.h>
#include <warren/result.h>

#include "io/udp_socket.h"

namespace warren {

class UdpPort {
 public:
  /// Port 0 is any that is free for both families. A kernel without IPv6 gives IPv4 alone. `mark`:
  /// see set_mark(). Errors carry the errno value.
  [[nodiscard]] static Result<UdpPort> open(std::uint16_t port, std::uint32_t mark);

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// The sockets, to wait for them and to receive from them; of one family where there is no other.
  [[nodiscard]] std::span<const Fd> sockets() const noexcept {
    return std::span(sockets_).first(sockets_[1] ? 2 : 1);
  }
  /// The one that sends to such addresses, or -1.
  [[nodiscard]] int socket_for(bool ipv6) const noexcept { return sockets_[ipv6 ? 1 : 0].get(); }

  /// What policy routing and firewalls know our packets by (SO_MARK); 0: nothing.
  Result<> set_mark(std::uint32_t mark);
  /// Datagrams are received with their traffic class: routers mark those that meet congestion.
  Result<> report_traffic_class();

 private:
  [[nodiscard]] static Result<UdpPort> open_both(std::uint16_t port);

  std::array<Fd, 2> sockets_;  ///< IPv4, IPv6
  std::uint16_t port_ = 0;
};

}  // namespace warren
