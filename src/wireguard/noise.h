/// The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (WireGuard paper, section 5.4;
/// http://www.noiseprotocol.org/noise.html).
///
///     initiator                                                       responder
///     Handshake::initiate()   ── ephemeral, static, timestamp ──▶  OpenedInitiation::open()
///                                                                  which peer is it? its Handshake:
///                                                                  accept(), respond() -> session
///     finish() -> session     ◀── ephemeral, sealed nothing ─────
///
/// Each message mixes one or two exchanges of keys into a chaining key, and itself into a hash that
/// is authenticated by whatever is sealed next. The session's keys come from the last chaining key.
///
/// A peer may answer while its own initiation is under way: what is left of an initiation stands in
/// the Handshake, what is left of a received one only in the OpenedInitiation. So two peers that
/// initiate at the same time get two sessions, and none has to start again.
///
/// Messages come out without MACs, see cookie.h; MACs are checked before messages are handed in.
/// Nothing here is thread-safe.
#pragma once

#include <optional>

#include "crypto/blake2s.h"
#include "crypto/x25519.h"
#include "wireguard/messages.h"
#include "wireguard/protocol.h"
#include "wireguard/session.h"
#include "wireguard/timestamp.h"

namespace warren::wireguard {

using crypto::Hash;
using crypto::Key;

/// Our own pair of static keys.
class Identity {
 public:
  explicit Identity(const Key& private_key) noexcept
      : private_key_(private_key), public_key_(crypto::x25519_public(private_key)) {}

  [[nodiscard]] const Key& private_key() const noexcept { return private_key_; }
  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_key_; }

 private:
  Key private_key_;
  PublicKey public_key_;
};

/// Chaining key and hash, as the Noise framework's SymmetricState.
class HandshakeState {
 public:
  HandshakeState() noexcept = default;
  /// At the start of a handshake with this responder.
  explicit HandshakeState(const PublicKey& responder) noexcept;

  void mix_hash(Bytes bytes) noexcept;
  void mix_key(Bytes input) noexcept;
  /// Also makes a key to seal with.
  [[nodiscard]] Key mix_key_and_derive(Bytes input) noexcept;
  [[nodiscard]] Key mix_preshared_key(const Key& preshared) noexcept;

  /// Seals or opens one part of a message, and mixes what is sent into the hash. `sealed` has 16
  /// bytes more than `plain`.
  [[nodiscard]] bool seal(std::span<std::uint8_t> sealed, const Key& key, Bytes plain) noexcept;
  [[nodiscard]] bool open(std::span<std::uint8_t> plain, const Key& key, Bytes sealed) noexcept;

  [[nodiscard]] std::array<Key, 2> split() const noexcept;

 private:
  Key chaining_key_;
  Hash hash_{};
};

/// A received initiation of which is known who claims to have sent it. It is secret.
class OpenedInitiation {
 public:
  /// One exchange of keys. Nothing where the message is not meant for us, or is not genuine.
  [[nodiscard]] static std::optional<OpenedInitiation> open(const Identity& ours,
                                                            const Initiation& message) noexcept;

  /// Not proven before Handshake::accept(): anyone can seal another's public key.
  [[nodiscard]] const PublicKey& initiator() const noexcept { return initiator_; }

 private:
  friend class Handshake;
  explicit OpenedInitiation(const Identity& ours, const Initiation& message) noexcept
      : state_(ours.public_key()), message_(message) {}

  HandshakeState state_;
  Initiation message_;
  PublicKey initiator_{};
  bool accepted_ = false;
};

/// The handshakes with one peer.
class Handshake {
 public:
  /// Initiations of one peer that come faster are not answered.
  static constexpr Duration min_interval = std::chrono::milliseconds(20);

  Handshake(const Identity& ours, const PublicKey& theirs) noexcept : theirs_(theirs) {
    set_identity(ours);
  }

  /// Our private key changed: ends an initiation that is under way.
  void set_identity(const Identity& ours) noexcept;
  /// All zero: none. For the handshakes that are begun or answered from now on.
  void set_preshared_key(const Key& key) noexcept { preshared_key_ = key; }

  [[nodiscard]] const PublicKey& peer() const noexcept { return theirs_; }
  [[nodiscard]] const Key& preshared_key() const noexcept { return preshared_key_; }

  /// Begins a handshake, in place of one that is under way. `index`: by which we find the answer.
  /// `now`: where the clock went back, the timestamp does not. Nothing where the peer's public key
  /// is a point of small order, with which there is no secret. The ephemeral key is drawn at random
  /// except in tests.
  [[nodiscard]] std::optional<Initiation> initiate(
      const Identity& ours, std::uint32_t index, const Timestamp& now,
      const Key& ephemeral = crypto::x25519_generate()) noexcept;

  /// The session, where `message` answers our initiation and is genuine. Otherwise nothing changes.
  [[nodiscard]] std::optional<SessionKeys> finish(const Identity& ours,
                                                  const Response& message) noexcept;

  /// Whether the initiation is from this peer, new, and not too soon after another.
  [[nodiscard]] bool accept(OpenedInitiation& initiation, Time now) noexcept;

  struct Answer {
    Response message;
    SessionKeys keys;
  };
  /// Answers an initiation that was accepted. `index`: by which we find the session's packets.
  [[nodiscard]] std::optional<Answer> respond(
      const OpenedInitiation& initiation, std::uint32_t index,
      const Key& ephemeral = crypto::x25519_generate()) const noexcept;

  /// The index of the initiation that waits for its answer.
  [[nodiscard]] std::optional<std::uint32_t> pending() const noexcept {
    return pending_ ? std::optional(index_) : std::nullopt;
  }
  /// Forgets an initiation that is under way.
  void clear() noexcept;

 private:
  PublicKey theirs_;
  Key static_static_;  // all zero: no handshake is possible
  Key preshared_key_;

  bool pending_ = false;
  std::uint32_t index_ = 0;
  Key ephemeral_;
  HandshakeState state_;

  Timestamp last_sent_;
  Timestamp last_received_;
  Time next_accepted_ = Time::min();  // the earliest
};

}  // namespace warren::wireguard
