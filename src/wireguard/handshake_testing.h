/// For tests: two peers that know each other, and a handshake that wireguard-go did.
#pragma once

#include "crypto/testing.h"
#include "wireguard/cookie.h"
#include "wireguard/noise.h"

namespace warren::wireguard::testing {

using namespace crypto::testing;  // NOLINT(google-build-using-namespace)

inline Time at(std::chrono::nanoseconds time) { return Time{time}; }
inline Timestamp clock_at(std::chrono::nanoseconds since_start) {
  return Timestamp::at(std::chrono::seconds(1'700'000'000) + since_start);
}

/// One end: its keys and what it knows of the other.
struct Peer {
  Peer(const Key& private_key, const PublicKey& theirs)
      : identity(private_key),
        handshake(identity, theirs),
        checker(identity.public_key()),
        jar(theirs) {}

  Identity identity;
  Handshake handshake;
  CookieChecker checker;
  CookieJar jar;
};

struct Pair {
  Pair() : Pair(crypto::x25519_generate(), crypto::x25519_generate()) {}
  Pair(const Key& a_key, const Key& b_key)
      : a(a_key, crypto::x25519_public(b_key)), b(b_key, crypto::x25519_public(a_key)) {}
  Peer a;
  Peer b;
};

/// What both ends have after a whole handshake.
struct Done {
  SessionKeys initiator;
  SessionKeys responder;
};

/// The responder's part. Nothing where it refuses.
inline std::optional<Handshake::Answer> answer(Peer& responder, const Initiation& message,
                                               std::uint32_t index, Time now) {
  auto opened = OpenedInitiation::open(responder.identity, message);
  if (!opened || !responder.handshake.accept(*opened, now)) return std::nullopt;
  return responder.handshake.respond(*opened, index);
}

/// `time`: of both ends' clocks.
inline std::optional<Done> shake_hands(Peer& initiator, Peer& responder,
                                       std::chrono::nanoseconds time) {
  const auto message = initiator.handshake.initiate(initiator.identity, 11, clock_at(time));
  if (!message) return std::nullopt;
  const auto answered = answer(responder, *message, 22, at(time));
  if (!answered) return std::nullopt;
  const auto keys = initiator.handshake.finish(initiator.identity, answered->message);
  if (!keys) return std::nullopt;
  return Done{*keys, answered->keys};
}

inline bool match(const Done& done) {
  return done.initiator.send == done.responder.receive &&
         done.initiator.receive == done.responder.send &&
         !(done.initiator.send == done.initiator.receive) &&
         done.initiator.remote_index == done.responder.local_index &&
         done.responder.remote_index == done.initiator.local_index && done.initiator.initiator &&
         !done.responder.initiator;
}

/// A handshake by wireguard-go (device/noise-protocol.go and cookie.go, commit 113c8f1340ed of
/// 2025-05-04), whose source of random bytes and whose clock had been replaced.
namespace vector {
inline constexpr auto a_private =
    "0002030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f60";
inline constexpr auto b_private =
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e5f";
inline constexpr auto a_ephemeral =
    "10181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce36a";
inline constexpr auto b_ephemeral =
    "70787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e353c434a";
inline constexpr auto preshared =
    "f0efeeedecebeae9e8e7e6e5e4e3e2e1e0dfdedddcdbdad9d8d7d6d5d4d3d2d1";
inline constexpr auto timestamp = "400000006553f10a11000000";
inline constexpr auto initiation =
    "01000000f1f8ff06e52b940ad182cfed595624daaaa892f68f14d52c49ae9016b6ab870e080e8300daf3a595b961fb"
    "9bddbda6d7482ec588ae4ec534211a49912e333340eead54274421e69cfc9a61b1ebec2898be24412ae87e1305201a"
    "6ed81bd42ee9cf4a321e782a7f4b6666cd3912832f477cd07e5b936d2de364d94fb02bcf6638000000000000000000"
    "00000000000000";
inline constexpr auto response =
    "02000000555c636af1f8ff06c3bb5ee5360277b4280b53d98288322771e5c9ade33d4c28e057bf843d977d23d3f997"
    "009adda4a2e6236a49285fb3be48197ba947234308b6b25e1ca0979aa000000000000000000000000000000000";
inline constexpr auto a_to_b = "e2401f49026231526aab8d26849bd1098dc9da61a2cb5358b60d34d01f55a00c";
inline constexpr auto b_to_a = "d0319556df2664b50fedd1d5b707cfab60f0a6477c3e17b5b63002ed51a55582";
inline constexpr auto cookie_reply =
    "03000000f1f8ff0631383f464d545b626970777e858c939aa1a8afb6bdc4cbd22dbe49e00bd2438b061ca5d5c41d9c"
    "1b355344a3c3c26220c4be912b3552bed6";
inline constexpr auto mac2_after_cookie = "c48edafd6496d8432240a2f93246ee82";
}  // namespace vector

}  // namespace warren::wireguard::testing
