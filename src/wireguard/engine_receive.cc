// From datagrams to packets.
#include <algorithm>

#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/traffic_class.h"
#include "wireguard/engine.h"

namespace warren::wireguard {

namespace {

/// An opened packet, by its own header: where its padding begins, and who sent it.
struct Inner {
  std::size_t length = 0;
  PeerId sender = no_peer;
};

Inner inspect(std::span<const std::byte> bytes, const AllowedIps& allowed_ips) noexcept {
  if (const auto ipv4 = wire::Ipv4View::parse(bytes))
    return {ipv4->total_length(), allowed_ips.find(ipv4->source())};
  if (const auto ipv6 = wire::Ipv6View::parse(bytes))
    return {wire::Ipv6View::min_header_length + ipv6->payload_length(),
            allowed_ips.find(ipv6->source())};
  return {};
}

}  // namespace

void Engine::receive_datagrams(std::span<const ReceivedDatagram> datagrams,
                               const Now& now) noexcept {
  for (const auto& datagram : datagrams) {
    auto rest = datagram.bytes;
    if (!up_) {
      messages.drop(DropReason::no_session);
      continue;
    }
    const auto size = datagram.message_size == 0 ? rest.size() : datagram.message_size;
    do {
      const auto message = rest.first(std::min(size, rest.size()));
      rest = rest.subspan(message.size());
      receive_message(message, datagram, now);
    } while (!rest.empty());
  }
  open_pending(now);
  flush_packets();
  flush();
}

void Engine::receive_message(std::span<std::byte> message, const ReceivedDatagram& datagram,
                             const Now& now) noexcept {
  messages.packets.add(1);
  messages.bytes.add(message.size());
  const auto type = classify(message);
  if (!type) return messages.drop(DropReason::malformed);
  if (type == MessageType::transport) return receive_transport(message, datagram, now);
  open_pending(now);  // handshakes change sessions: first what came before
  if (const auto initiation = parse<Initiation>(message))
    receive_initiation(*initiation, datagram.from, now);
  else if (const auto response = parse<Response>(message))
    receive_response(*response, datagram.from, now);
  else if (const auto cookie = parse<CookieReply>(message))
    receive_cookie(*cookie, now);
}

void Engine::receive_transport(std::span<std::byte> message, const ReceivedDatagram& datagram,
                               const Now& now) noexcept {
  if (open_count_ == batch_jobs) open_pending(now);  // which may end the session
  const Transport<std::byte> transport(message);
  const auto* id = indices_.find(transport.receiver());
  const auto* session = id == nullptr ? nullptr : peers_[*id]->sessions.find(transport.receiver());
  if (session == nullptr || now.time - session->use().created >= limits::reject_after_time)
    return messages.drop(DropReason::no_session);
  if (!session->may_accept(transport.counter())) return messages.drop(DropReason::replayed);
  open_jobs_[open_count_] = session->open(transport);
  incoming_[open_count_++] = {transport.packet(), &datagram, *id, transport.receiver(),
                              static_cast<std::uint32_t>(message.size())};
}

void Engine::open_pending(const Now& now) noexcept {
  aead_.open(std::span(open_jobs_).first(open_count_));
  for (std::size_t i = 0; i < open_count_; ++i) {
    if (open_jobs_[i].ok)
      finish_transport(incoming_[i], open_jobs_[i].counter, now);
    else
      messages.drop(DropReason::not_authentic);
  }
  open_count_ = 0;
}

void Engine::finish_transport(const Incoming& incoming, std::uint64_t counter,
                              const Now& now) noexcept {
  auto& peer = *peers_[incoming.peer];
  // A message before this one may have ended the session.
  auto* session = peer.sessions.find(incoming.index);
  if (session == nullptr) return messages.drop(DropReason::no_session);
  if (!session->accept(counter)) return messages.drop(DropReason::replayed);
  heard_from(peer, incoming.datagram->from, incoming.size);
  const bool first = peer.sessions.received(*session, erase_index());
  const bool data = !incoming.packet.empty();
  peer.timers.received(now.time, data);
  if (first) {
    peer.timers.handshake_completed();
    peer.last_handshake = now.wall;
    if (!peer.staged.empty()) send_staged_or_keepalive(peer, now);
  }
  if (peer.timers.renew_after_receiving(session->use(), now.time)) send_initiation(peer, now);
  arm(peer);
  if (data) deliver(peer, incoming.packet, incoming.datagram->traffic_class);
}

void Engine::deliver(const Peer& peer, std::span<std::byte> packet,
                     std::uint8_t traffic_class) noexcept {
  const auto inner = inspect(packet, allowed_ips_);
  if (inner.length == 0) return messages.drop(DropReason::wrong_medium);
  if (inner.sender != peer.id) return messages.drop(DropReason::wrong_source);
  if (!wire::decapsulate_ecn(packet.first(inner.length), Medium::ip, traffic_class))
    return messages.drop(DropReason::congested);
  if (delivered_count_ == delivered_.size()) flush_packets();
  delivered_[delivered_count_++] = packet.first(inner.length);
}

void Engine::flush_packets() noexcept {
  if (delivered_count_ == 0) return;
  output_.deliver_packets(std::span(delivered_).first(delivered_count_));
  delivered_count_ = 0;
}

}  // namespace warren::wireguard
