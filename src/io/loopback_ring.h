/// UDP from programs on this machine, through a packet ring instead of a socket.
///
/// Theory of operation. What programs on one machine send each other passes the loopback device. A ring
/// there (packet_ring.h) is filled in the sender's time, where a socket costs its reader a part of a
/// system call, a copy and memory to give back for each datagram. The socket stays: it holds the port,
/// sends, and receives the rest, since its filter refuses exactly what the ring takes.
///
///                         ┌──▶ ring: IPv4 without options, whole, up to max_packet bytes
///     program ──▶ lo ─────┤
///                         └──▶ firewall ──▶ socket: larger ones, IPv6, what was in fragments
///     other devices ──────────▶ firewall ──▶ socket
///
/// A super-datagram (UDP_SEGMENT) that fits comes whole. So the ring sees what the firewall drops on
/// its way in, and the kernel counts what the ring takes as refused by the socket.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "io/packet_ring.h"
#include "io/socket_address.h"
#include "io/socket_filter.h"

namespace warren {

/// Not thread-safe.
class LoopbackRing {
 public:
  struct Datagram {
    SocketAddress from{};
    SocketAddress to{};
    std::span<const std::byte> payload{};
    std::size_t segment_size = 0;  ///< of the datagrams that it stands for; 0: it is one
    std::size_t room = 0;          ///< bytes in front of the payload that may be overwritten
  };
  static constexpr std::size_t max_services = 16;

  /// Those to `local`. Both need CAP_NET_RAW now and no privilege later, and kernel 6.2.
  [[nodiscard]] static Result<LoopbackRing> to(const SocketAddress& local);
  /// Those from one of `services`, at most max_services.
  [[nodiscard]] static Result<LoopbackRing> from(std::span<const SocketAddress> services);
  /// From now on the UDP socket refuses what a ring of its address takes. errno is set where that fails.
  [[nodiscard]] static bool stand_beside(int udp) noexcept;

  [[nodiscard]] int fd() const noexcept { return ring_.fd(); }  ///< readable where next() gives one
  /// The next datagram, with room where its headers were; good until release(). Nothing where there is
  /// none.
  [[nodiscard]] std::optional<Datagram> next() noexcept;
  /// As of a PacketRing.
  void release() noexcept { ring_.release(); }
  [[nodiscard]] std::uint64_t take_overruns() noexcept { return ring_.take_overruns(); }
  void forget_error() noexcept { ring_.forget_error(); }

 private:
  explicit LoopbackRing(PacketRing ring) : ring_(std::move(ring)) {}
  [[nodiscard]] static Result<LoopbackRing> open(std::span<const SocketAddress> addresses,
                                                 std::uint32_t address_at, std::uint32_t port_at);

  PacketRing ring_;
};

}  // namespace warren
