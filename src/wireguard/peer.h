/// What an interface knows of one peer.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include <warren/packet.h>

#include "wireguard/cookie.h"
#include "wireguard/device_config.h"
#include "wireguard/noise.h"
#include "wireguard/session.h"
#include "wireguard/timers.h"

namespace warren::wireguard {

/// Lives in locked memory, as do its sessions, of 1.3 KiB each.
struct Peer {
  Peer(PeerId its_id, const Identity& ours, const PublicKey& theirs, std::uint64_t seed) noexcept
      : id(its_id), handshake(ours, theirs), cookies(theirs), timers(seed) {}

  PeerId id;
  Handshake handshake;
  CookieJar cookies;
  Sessions sessions;
  Timers timers;
  std::optional<Endpoint> endpoint;  ///< follows the peer: where its last genuine message came from
  std::vector<Packet> staged;        ///< wait for a session, oldest first
  Time armed = never;                ///< when the engine looks at the timers next
  std::uint64_t received_bytes = 0;  ///< of genuine messages, as they are on the wire
  std::uint64_t sent_bytes = 0;
  std::chrono::nanoseconds last_handshake{0};  ///< since 1970; 0: never
};
static_assert(sizeof(Peer) < 900, "tens of thousands of them are idle");

}  // namespace warren::wireguard
