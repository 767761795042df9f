// Handshakes and timers.
#include <cstring>

#include "wireguard/engine.h"

namespace warren::wireguard {

namespace {

/// An endpoint as cookies know it.
std::array<std::uint8_t, 18> source_bytes(const Endpoint& endpoint) noexcept {
  std::array<std::uint8_t, 18> out{};
  std::memcpy(out.data(), endpoint.address.bytes.data(), 16);
  std::memcpy(out.data() + 16, &endpoint.port, 2);
  return out;
}

std::uint32_t random_index() noexcept {
  std::array<std::uint8_t, 4> bytes;
  crypto::random_bytes(bytes);
  return wire::load_raw<std::uint32_t>(reinterpret_cast<const std::byte*>(bytes.data()));
}

}  // namespace

void Engine::want_session(Peer& peer, const Now& now) noexcept {
  if (peer.timers.request_handshake(now.time)) send_initiation(peer, now);
  arm(peer);
}

void Engine::send_initiation(Peer& peer, const Now& now) noexcept {
  if (!peer.endpoint || !identity_) return;
  if (const auto pending = peer.handshake.pending()) indices_.erase(*pending);
  peer.handshake.clear();
  const auto index = indices_.insert(peer.id, random_index);
  if (!index) return;
  auto message = peer.handshake.initiate(*identity_, *index, Timestamp::at(now.wall));
  if (message)
    send_handshake(peer, *message, now);
  else
    indices_.erase(*index);
}

template <class Message>
void Engine::send_handshake(Peer& peer, Message& message, const Now& now) noexcept {
  peer.cookies.stamp(message, now.time);
  peer.sent_bytes += sizeof message;
  send_bytes(bytes_of(message), *peer.endpoint);
}

void Engine::send_bytes(Bytes bytes, const Endpoint& to) noexcept {
  auto packet = pool_.allocate();
  if (!packet) return packets.drop(DropReason::no_buffer);
  packet.resize(bytes.size());
  std::memcpy(packet.data(), bytes.data(), bytes.size());
  push_datagram(to, std::move(packet), 0);
}

bool Engine::under_load(Time now) noexcept {
  if (now >= load_window_end_) {
    load_window_end_ = now + std::chrono::milliseconds(100);
    load_count_ = 0;
  }
  if (++load_count_ > handshakes_without_load / 10) load_until_ = now + std::chrono::seconds(1);
  return now < load_until_;
}

bool Engine::may_answer(const Initiation& message, const Endpoint& from, Time now) noexcept {
  const auto source = source_bytes(from);
  const auto verdict = checker_->check(message, source, now);
  if (verdict == CookieChecker::Verdict::invalid) {
    messages.drop(DropReason::not_authentic);
    return false;
  }
  if (!under_load(now)) return true;
  if (verdict == CookieChecker::Verdict::mac1_and_mac2 && limiter_.allow(from.address, now))
    return true;
  messages.drop(DropReason::under_load);
  if (verdict == CookieChecker::Verdict::mac1) {
    const auto reply = checker_->reply(message, source, now);
    send_bytes(bytes_of(reply), from);
  }
  return false;
}

void Engine::receive_initiation(const Initiation& message, const Endpoint& from,
                                const Now& now) noexcept {
  if (!identity_) return messages.drop(DropReason::no_session);
  if (!may_answer(message, from, now.time)) return;
  auto opened = OpenedInitiation::open(*identity_, message);
  auto* peer = opened ? find(opened->initiator()) : nullptr;
  if (peer == nullptr || !peer->handshake.accept(*opened, now.time))
    return messages.drop(DropReason::not_authentic);
  const auto index = indices_.insert(peer->id, random_index);
  if (!index) return messages.drop(DropReason::no_session);
  auto answer = peer->handshake.respond(*opened, *index);
  if (!answer) {
    indices_.erase(*index);
    return messages.drop(DropReason::not_authentic);
  }
  heard_from(*peer, from, sizeof message);
  peer->sessions.add(answer->keys, now.time, erase_index());
  peer->timers.received(now.time, false);
  peer->timers.session_started(now.time);
  peer->timers.sent(now.time, false);
  send_handshake(*peer, answer->message, now);
  arm(*peer);
}

void Engine::receive_response(const Response& message, const Endpoint& from,
                              const Now& now) noexcept {
  // Few know the index of an initiation under way: this needs no cookies.
  const auto* id = indices_.find(message.receiver);
  auto* peer = id == nullptr ? nullptr : peers_[*id].get();
  if (peer == nullptr || peer->handshake.pending() != message.receiver)
    return messages.drop(DropReason::no_session);
  const auto verdict = checker_->check(message, source_bytes(from), now.time);
  const auto keys = verdict == CookieChecker::Verdict::invalid
                        ? std::nullopt
                        : peer->handshake.finish(*identity_, message);
  if (!keys) return messages.drop(DropReason::not_authentic);
  heard_from(*peer, from, sizeof message);
  peer->sessions.add(*keys, now.time, erase_index());
  peer->timers.received(now.time, false);
  peer->timers.session_started(now.time);
  peer->timers.handshake_completed();
  peer->last_handshake = now.wall;
  send_staged_or_keepalive(*peer, now);
  arm(*peer);
}

void Engine::receive_cookie(const CookieReply& message, const Now& now) noexcept {
  const auto* id = indices_.find(message.receiver);
  if (id == nullptr || !peers_[*id]->cookies.accept(message, now.time))
    messages.drop(DropReason::not_authentic);
}

/// A genuine message came: the peer is where it came from.
void Engine::heard_from(Peer& peer, const Endpoint& from, std::size_t size) noexcept {
  peer.received_bytes += size;
  if (peer.endpoint != from) peer.endpoint = from;
}

void Engine::arm(Peer& peer) noexcept {
  const auto deadline = peer.timers.deadline();
  if (deadline >= peer.armed) return;  // expire() looks again then
  peer.armed = deadline;
  deadlines_.push({deadline, peer.id});
}

void Engine::expire(const Now& now) noexcept {
  while (!deadlines_.empty() && deadlines_.top().when <= now.time) {
    const auto due = deadlines_.top();
    deadlines_.pop();
    auto* peer = due.peer < peers_.size() ? peers_[due.peer].get() : nullptr;
    if (peer == nullptr || peer->armed != due.when) continue;
    peer->armed = never;
    if (peer->timers.deadline() <= now.time) act(*peer, peer->timers.expire(now.time), now);
    arm(*peer);
  }
  flush();
}

void Engine::act(Peer& peer, const TimerActions& actions, const Now& now) noexcept {
  if (actions.erase_keys) erase_sessions(peer);
  if (actions.drop_staged) drop_staged(peer);
  if (actions.lost_contact) {
    // Packets from the address that it knew do not reach it, or answers to that do not reach us.
    if (peer.endpoint) peer.endpoint->source.reset();
    output_.lost_contact(peer.handshake.peer());
  }
  if (actions.send_initiation) send_initiation(peer, now);
  if (actions.send_keepalive) send_staged_or_keepalive(peer, now);
}

}  // namespace warren::wireguard
