/// Counters of packets, and the reasons for which packets are dropped.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace warren {

enum class DropReason : std::uint8_t {
  no_buffer,     ///< the pool is exhausted
  malformed,     ///< headers that contradict the packet's length
  bad_offload,   ///< checksum or segmentation fields that point outside the packet or make no sense
  too_big,       ///< larger than the next device or port takes
  no_link,       ///< the port is not linked to another
  queue_full,    ///< the receiver does not keep up
  device_error,  ///< the kernel refused the packet
  wrong_medium,  ///< not what the port carries: neither IPv4 nor IPv6 on an IP port
  impaired,      ///< lost on purpose by an impairment node
  no_peer,       ///< tunnels: no peer has the destination, or the sender is none
  no_endpoint,   ///< WireGuard: where the peer is is not known
  no_session,    ///< WireGuard: none with that peer, or none that the message belongs to
  not_authentic,  ///< WireGuard: not from whom it claims to be
  replayed,       ///< WireGuard: received before, or too old to tell
  wrong_source,   ///< the source address is not one of a WireGuard peer, or no single host's
  under_load,     ///< WireGuard: the sender of a handshake has to prove its address first
  same_port,      ///< switch: the receiver is behind the port that the frame came in by
  isolated,       ///< switch: between ports that are kept apart
  reserved,       ///< switch: a group address whose frames stay on their line (802.1Q, 8.6.3)
  loop,           ///< switch: it came back while it was being sent on: the links make a circle
  wrong_network,  ///< VXLAN: of another network (VNI)
  congested,      ///< tunnels: marked as having met congestion, and the sender knows no marks (ECN)
  count_
};
inline constexpr std::size_t drop_reason_count = static_cast<std::size_t>(DropReason::count_);

/// The name in status output and JSON: "no_buffer".
[[nodiscard]] std::string_view drop_reason_name(DropReason reason) noexcept;

/// A count with one writer and any number of readers; never locks the bus.
class Counter {
 public:
  void add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// One direction of a port. A super-packet counts once.
struct Counters {
  Counter packets;
  Counter bytes;
  std::array<Counter, drop_reason_count> drops;

  void drop(DropReason reason, std::uint64_t n = 1) noexcept {
    drops[static_cast<std::size_t>(reason)].add(n);
  }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const noexcept {
    return drops[static_cast<std::size_t>(reason)].value();
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& counter : drops) sum += counter.value();
    return sum;
  }
};

}  // namespace warren
