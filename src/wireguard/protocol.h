/// What all parts of the protocol agree on: time, identities and limits.
///
/// Nothing in this folder reads a clock, opens a descriptor or starts a thread: what happens is a
/// function of its inputs, so that tests run days of protocol in milliseconds.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace warren::wireguard {

/// Time as the caller's clock tells it. It has no now() on purpose. The clock must never go back,
/// and must count the time that the machine sleeps (CLOCK_BOOTTIME), or keys outlive their limits.
struct ProtocolClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<ProtocolClock>;
  static constexpr bool is_steady = true;
};
using Time = ProtocolClock::time_point;
using Duration = ProtocolClock::duration;

/// Of a deadline: not armed.
inline constexpr Time never = Time::max();

/// A peer's place in its interface's table. There are at most max_peers.
using PeerId = std::uint16_t;
inline constexpr std::size_t max_peers = 65535;
inline constexpr PeerId no_peer = 65535;

/// The constants of the WireGuard paper, section 6, and those that the Linux kernel's
/// implementation adds (drivers/net/wireguard/messages.h).
namespace limits {
inline constexpr std::uint64_t rekey_after_messages = std::uint64_t{1} << 60;
inline constexpr std::uint64_t reject_after_messages = UINT64_MAX - (std::uint64_t{1} << 13);
inline constexpr std::chrono::seconds rekey_after_time{120};
inline constexpr std::chrono::seconds reject_after_time{180};
inline constexpr std::chrono::seconds rekey_attempt_time{90};
inline constexpr std::chrono::seconds rekey_timeout{5};
inline constexpr std::chrono::seconds keepalive_timeout{10};
/// Added to the time until a handshake is repeated: two peers that start together drift apart.
inline constexpr std::chrono::milliseconds max_jitter{333};
}  // namespace limits

}  // namespace warren::wireguard
