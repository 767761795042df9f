/// Forged initiations at a fixed rate: what anyone can send who knows a responder's public key.
///
/// Each has a valid MAC1 and random content. That is the worst that strangers can do: without MAC1 a
/// message costs the responder one hash; with it, an exchange of keys, or a cookie once it feels
/// loaded.
#pragma once

#include <cstdint>
#include <vector>

#include <warren/result.h>

#include "bench/socket_address.h"
#include "wireguard/messages.h"

namespace warren::bench {

struct Flood {
  SocketAddress to;  ///< IPv4
  wireguard::PublicKey responder{};
  int per_second = 10000;
};

/// Sends until a signal comes (see InterruptScope). Fails if it falls a second behind.
Result<> run_flood(const Flood& flood);

/// `count` of them, all different.
[[nodiscard]] std::vector<wireguard::Initiation> forge_initiations(
    const wireguard::PublicKey& responder, std::size_t count);

/// Holds a UDP port that nobody reads, until a signal comes: what a flood is compared with.
Result<> hold_idle_port(SocketAddress address);

}  // namespace warren::bench
