#include "wireguard/noise.h"

#include "crypto/aead.h"

namespace warren::wireguard {

using crypto::blake2s;
using crypto::hkdf;
using crypto::x25519;

namespace {

using namespace std::string_view_literals;

// Both are the same for everybody.
const Hash& first_chaining_key() noexcept {
  static const Hash hash = blake2s("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"sv);
  return hash;
}
const Hash& first_hash() noexcept {
  static const Hash hash = blake2s(first_chaining_key(), "WireGuard v1 zx2c4 Jason@zx2c4.com"sv);
  return hash;
}

}  // namespace

HandshakeState::HandshakeState(const PublicKey& responder) noexcept
    : chaining_key_(first_chaining_key()), hash_(blake2s(first_hash(), responder)) {}

void HandshakeState::mix_hash(Bytes bytes) noexcept { hash_ = blake2s(hash_, bytes); }

void HandshakeState::mix_key(Bytes input) noexcept {
  chaining_key_ = hkdf<1>(chaining_key_, input)[0];
}

Key HandshakeState::mix_key_and_derive(Bytes input) noexcept {
  const auto keys = hkdf<2>(chaining_key_, input);
  chaining_key_ = keys[0];
  return keys[1];
}

Key HandshakeState::mix_preshared_key(const Key& preshared) noexcept {
  const auto keys = hkdf<3>(chaining_key_, preshared);
  chaining_key_ = keys[0];
  mix_hash(keys[1]);
  return keys[2];
}

bool HandshakeState::seal(std::span<std::uint8_t> sealed, const Key& key, Bytes plain) noexcept {
  const bool ok = crypto::aead_seal(sealed, key, 0, plain, hash_);
  mix_hash(sealed);
  return ok;
}

bool HandshakeState::open(std::span<std::uint8_t> plain, const Key& key, Bytes sealed) noexcept {
  const bool ok = crypto::aead_open(plain, key, 0, sealed, hash_);
  mix_hash(sealed);
  return ok;
}

std::array<Key, 2> HandshakeState::split() const noexcept { return hkdf<2>(chaining_key_, {}); }

std::optional<OpenedInitiation> OpenedInitiation::open(const Identity& ours,
                                                       const Initiation& message) noexcept {
  std::optional<OpenedInitiation> out{OpenedInitiation(ours, message)};
  auto& state = out->state_;
  state.mix_hash(message.ephemeral);
  state.mix_key(message.ephemeral);
  Key shared;
  if (!x25519(shared, ours.private_key(), message.ephemeral)) return std::nullopt;
  const Key key = state.mix_key_and_derive(shared);
  if (!state.open(out->initiator_, key, message.sealed_static)) return std::nullopt;
  return out;
}

void Handshake::set_identity(const Identity& ours) noexcept {
  clear();
  // Where there is no shared secret, static_static_ is all zero.
  (void)x25519(static_static_, ours.private_key(), theirs_);
}

void Handshake::clear() noexcept {
  pending_ = false;
  ephemeral_.clear();
  state_ = {};
}

std::optional<Initiation> Handshake::initiate(const Identity& ours, std::uint32_t index,
                                              const Timestamp& now, const Key& ephemeral) noexcept {
  clear();
  if (static_static_.is_zero()) return std::nullopt;
  Initiation message;
  message.sender = index;
  message.ephemeral = crypto::x25519_public(ephemeral);
  HandshakeState state(theirs_);
  state.mix_hash(message.ephemeral);
  state.mix_key(message.ephemeral);

  Key shared;
  if (!x25519(shared, ephemeral, theirs_)) return std::nullopt;
  const Key static_key = state.mix_key_and_derive(shared);
  if (!state.seal(message.sealed_static, static_key, ours.public_key())) return std::nullopt;

  last_sent_ = std::max(now, last_sent_.next());
  const Key timestamp_key = state.mix_key_and_derive(static_static_);
  if (!state.seal(message.sealed_timestamp, timestamp_key, last_sent_.bytes)) return std::nullopt;

  pending_ = true;
  index_ = index;
  ephemeral_ = ephemeral;
  state_ = state;
  return message;
}

bool Handshake::accept(OpenedInitiation& initiation, Time now) noexcept {
  if (static_static_.is_zero() || initiation.initiator_ != theirs_) return false;
  const Key key = initiation.state_.mix_key_and_derive(static_static_);
  Timestamp timestamp;
  if (!initiation.state_.open(timestamp.bytes, key, initiation.message_.sealed_timestamp))
    return false;
  if (timestamp <= last_received_ || now < next_accepted_) return false;
  last_received_ = timestamp;
  next_accepted_ = now + min_interval;
  initiation.accepted_ = true;
  return true;
}

std::optional<Handshake::Answer> Handshake::respond(const OpenedInitiation& initiation,
                                                    std::uint32_t index,
                                                    const Key& ephemeral) const noexcept {
  if (!initiation.accepted_ || initiation.initiator_ != theirs_) return std::nullopt;
  std::optional<Answer> answer{std::in_place};
  auto& message = answer->message;
  message.sender = index;
  message.receiver = initiation.message_.sender;
  message.ephemeral = crypto::x25519_public(ephemeral);
  HandshakeState state = initiation.state_;
  state.mix_hash(message.ephemeral);
  state.mix_key(message.ephemeral);
  Key shared;
  if (!x25519(shared, ephemeral, initiation.message_.ephemeral)) return std::nullopt;
  state.mix_key(shared);
  if (!x25519(shared, ephemeral, theirs_)) return std::nullopt;
  state.mix_key(shared);
  const Key key = state.mix_preshared_key(preshared_key_);
  if (!state.seal(message.sealed_nothing, key, {})) return std::nullopt;

  const auto keys = state.split();
  answer->keys = {keys[1], keys[0], index, initiation.message_.sender, false};
  return answer;
}

std::optional<SessionKeys> Handshake::finish(const Identity& ours,
                                             const Response& message) noexcept {
  if (!pending_ || message.receiver != index_) return std::nullopt;
  HandshakeState state = state_;
  state.mix_hash(message.ephemeral);
  state.mix_key(message.ephemeral);
  Key shared;
  if (!x25519(shared, ephemeral_, message.ephemeral)) return std::nullopt;
  state.mix_key(shared);
  if (!x25519(shared, ours.private_key(), message.ephemeral)) return std::nullopt;
  state.mix_key(shared);
  const Key key = state.mix_preshared_key(preshared_key_);
  if (!state.open({}, key, message.sealed_nothing)) return std::nullopt;

  const auto keys = state.split();
  SessionKeys out{keys[0], keys[1], index_, message.sender, true};
  clear();
  return out;
}

}  // namespace warren::wireguard
