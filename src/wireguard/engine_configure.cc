// Keys, peers and allowed IPs.
#include <fmt/format.h>

#include "wireguard/engine.h"

namespace warren::wireguard {

namespace {

std::array<std::uint64_t, 2> random_secret() {
  std::array<std::uint8_t, 16> bytes;
  crypto::random_bytes(bytes);
  const auto* at = reinterpret_cast<const std::byte*>(bytes.data());
  return {wire::load_raw<std::uint64_t>(at), wire::load_raw<std::uint64_t>(at + 8)};
}

}  // namespace

Engine::Engine(EngineOutput& output, Pool& pool, crypto::Aead aead, const Options& options)
    : output_(output),
      pool_(pool),
      aead_(std::move(aead)),
      options_(options),
      limiter_(random_secret()),
      indices_(4 * max_peers) {}  // an initiation and three sessions each

Engine::~Engine() = default;

Result<> Engine::configure(const DeviceConfig& config, const Now& now) {
  if (config.private_key) set_identity(*config.private_key);
  if (config.replace_peers)
    for (auto& peer : peers_)
      if (peer) remove_peer(*peer);
  for (const auto& peer : config.peers)
    if (auto done = configure_peer(peer, now); !done) return done;
  flush();
  return {};
}

void Engine::set_identity(const crypto::Key& key) {
  if (identity_ && identity_->private_key() == key) return;
  identity_.reset();
  checker_.reset();
  if (!key.is_zero()) {
    identity_.emplace(key);
    checker_.emplace(identity_->public_key());
    if (auto* self = find(identity_->public_key())) remove_peer(*self);
  }
  for (auto& peer : peers_) {
    if (!peer) continue;
    erase_sessions(*peer);
    if (identity_) peer->handshake.set_identity(*identity_);
  }
}

Result<> Engine::configure_peer(const PeerConfig& config, const Now& now) {
  auto* peer = find(config.public_key);
  if (config.remove) {
    if (peer != nullptr) remove_peer(*peer);
    return {};
  }
  if (peer == nullptr) {
    // Ourselves as a peer: nothing could be sent to it. The kernel passes over it, too.
    const bool self = identity_ && identity_->public_key() == config.public_key;
    if (config.update_only || self) return {};
    peer = add_peer(config.public_key);
    if (peer == nullptr)
      return fail(fmt::format("an interface has at most {} peers", max_peers), ENOMEM);
  }
  if (config.preshared_key) peer->handshake.set_preshared_key(*config.preshared_key);
  if (config.endpoint) peer->endpoint = config.endpoint;
  if (config.replace_allowed_ips) allowed_ips_.remove_peer(peer->id);
  for (const auto& change : config.allowed_ips) {
    if (change.remove)
      allowed_ips_.remove(change.prefix, peer->id);
    else
      allowed_ips_.insert(change.prefix, peer->id);
  }
  bool turned_on = false;
  if (config.persistent_keepalive)
    turned_on = peer->timers.set_persistent_keepalive(
        std::chrono::seconds(*config.persistent_keepalive), now.time);
  if (!up_) peer->timers.stop();
  if (up_ && (turned_on || !peer->staged.empty())) send_staged_or_keepalive(*peer, now);
  arm(*peer);
  return {};
}

Peer* Engine::find(const PublicKey& key) const noexcept {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : peers_[found->second].get();
}

Peer* Engine::add_peer(const PublicKey& key) {
  if (by_key_.size() >= max_peers) return nullptr;
  if (free_ids_.empty()) {
    free_ids_.push_back(static_cast<PeerId>(peers_.size()));
    peers_.emplace_back();
  }
  const auto id = free_ids_.back();
  free_ids_.pop_back();
  // Without a private key of our own nothing is sent; the peer gets ours when there is one.
  static const Identity nobody{crypto::Key{}};
  const auto& ours = identity_ ? *identity_ : nobody;
  peers_[id] = crypto::make_locked<Peer>(id, ours, key, random_secret()[0]);
  by_key_.emplace(key, id);
  return peers_[id].get();
}

void Engine::remove_peer(Peer& peer) noexcept {
  drop_staged(peer);
  erase_sessions(peer);
  allowed_ips_.remove_peer(peer.id);
  by_key_.erase(PublicKey(peer.handshake.peer()));
  free_ids_.push_back(peer.id);
  peers_[peer.id].reset();
}

/// And the initiation that is under way.
void Engine::erase_sessions(Peer& peer) noexcept {
  peer.sessions.clear(erase_index());
  if (const auto pending = peer.handshake.pending()) indices_.erase(*pending);
  peer.handshake.clear();
}

void Engine::set_endpoint(const PublicKey& key, const Endpoint& endpoint, const Now& now) {
  auto* peer = find(key);
  if (peer == nullptr) return;
  const bool first = !peer->endpoint;
  peer->endpoint = endpoint;
  if (first && up_ && peer->timers.persistent_keepalive().count() > 0)
    send_staged_or_keepalive(*peer, now);
  flush();
}

void Engine::set_up(bool up, const Now& now) {
  if (up_ == up) return;
  up_ = up;
  for (auto& peer : peers_) {
    if (!peer) continue;
    if (up) {
      if (peer->timers.persistent_keepalive().count() > 0) send_staged_or_keepalive(*peer, now);
    } else {
      drop_staged(*peer);
      erase_sessions(*peer);
      peer->timers.stop();
    }
  }
  flush();
}

crypto::Key Engine::private_key() const {
  return identity_ ? identity_->private_key() : crypto::Key{};
}

PeerStatus Engine::status_of(const Peer& peer) const noexcept {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(peer.last_handshake);
  PeerStatus status;
  status.public_key = peer.handshake.peer();
  status.preshared_key = peer.handshake.preshared_key();
  status.endpoint = peer.endpoint;
  status.last_handshake_seconds = seconds.count();
  status.last_handshake_nanoseconds = (peer.last_handshake - seconds).count();
  status.received_bytes = peer.received_bytes;
  status.sent_bytes = peer.sent_bytes;
  status.persistent_keepalive =
      static_cast<std::uint16_t>(peer.timers.persistent_keepalive().count());
  status.allowed_ips = allowed_ips_.of(peer.id);
  return status;
}

}  // namespace warren::wireguard
