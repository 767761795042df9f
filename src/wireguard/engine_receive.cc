// From datagrams to packets.
#include <algorithm>

#include "wire/ipv4.h"
#include "wire/ipv6.h"
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

void Engine::receive_datagrams(DatagramBatch& batch, const Now& now) noexcept {
  for (std::size_t i = 0; i < batch.packets.size(); ++i) {
    auto rest = batch.packets.bytes(i);
    const std::size_t size = batch.packets.offload(i).gso_size;
    if (!up_) {
      messages.drop(DropReason::no_session);
    } else if (size == 0 || size >= rest.size()) {
      receive_message(rest, batch.packets.take(i), batch.addresses[i], now);
    } else {
      for (; !rest.empty(); rest = rest.subspan(std::min(size, rest.size())))
        receive_message(rest.first(std::min(size, rest.size())), {}, batch.addresses[i], now);
    }
  }
  // What is open may lie in the batch still.
  open_pending(now);
  batch.packets.clear();
  flush_packets();
  flush_datagrams();
}

// `packet` holds the message where it came alone; otherwise it lies in the batch.
void Engine::receive_message(std::span<std::byte> message, Packet packet, const Endpoint& from,
                             const Now& now) noexcept {
  messages.packets.add(1);
  messages.bytes.add(message.size());
  const auto type = classify(message);
  if (!type) return messages.drop(DropReason::malformed);
  if (type == MessageType::transport)
    return receive_transport(message, std::move(packet), from, now);
  open_pending(now);  // handshakes change sessions: first what came before
  if (const auto initiation = parse<Initiation>(message))
    receive_initiation(*initiation, from, now);
  else if (const auto response = parse<Response>(message))
    receive_response(*response, from, now);
  else if (const auto cookie = parse<CookieReply>(message))
    receive_cookie(*cookie, now);
}

void Engine::receive_transport(std::span<std::byte> message, Packet packet, const Endpoint& from,
                               const Now& now) noexcept {
  const Transport<std::byte> transport(message);
  const auto* id = indices_.find(transport.receiver());
  auto* session = id == nullptr ? nullptr : peers_[*id]->sessions.find(transport.receiver());
  if (session == nullptr || now.time - session->use().created >= limits::reject_after_time)
    return messages.drop(DropReason::no_session);
  if (!session->may_accept(transport.counter())) return messages.drop(DropReason::replayed);

  if (open_count_ == batch_jobs) {
    open_pending(now);
    // That may have ended the session.
    return receive_transport(message, std::move(packet), from, now);
  }
  auto job = session->open(transport);
  const auto length = transport.packet().size();
  if (packet) {
    packet.trim_front(Transport<std::byte>::header_length);
    packet.resize(length);
  } else {
    packet = pool_.allocate();
    if (!packet) return messages.drop(DropReason::no_buffer);
    if (packet.tailroom() < length) return messages.drop(DropReason::too_big);
    packet.resize(length);
    job.out = reinterpret_cast<std::uint8_t*>(packet.data());
  }
  packet.offload() = {};
  open_jobs_[open_count_] = job;
  incoming_[open_count_++] = {std::move(packet), &from, *id, transport.receiver(),
                              static_cast<std::uint32_t>(message.size())};
}

void Engine::open_pending(const Now& now) noexcept {
  aead_.open(std::span(open_jobs_).first(open_count_));
  for (std::size_t i = 0; i < open_count_; ++i) {
    if (open_jobs_[i].ok)
      finish_transport(incoming_[i], open_jobs_[i].counter, now);
    else
      messages.drop(DropReason::not_authentic);
    incoming_[i].packet = {};
  }
  open_count_ = 0;
}

void Engine::finish_transport(Incoming& incoming, std::uint64_t counter, const Now& now) noexcept {
  auto& peer = *peers_[incoming.peer];
  // A message before this one may have ended the session.
  auto* session = peer.sessions.find(incoming.index);
  if (session == nullptr) return messages.drop(DropReason::no_session);
  if (!session->accept(counter)) return messages.drop(DropReason::replayed);
  heard_from(peer, *incoming.from, incoming.size);
  const bool first = peer.sessions.received(*session, erase_index());
  const bool data = incoming.packet.size() != 0;
  peer.timers.received(now.time, data);
  if (first) {
    peer.timers.handshake_completed();
    peer.last_handshake = now.wall;
    if (!peer.staged.empty()) send_staged_or_keepalive(peer, now);
  }
  if (peer.timers.renew_after_receiving(session->use(), now.time)) send_initiation(peer, now);
  arm(peer);
  if (data) deliver(peer, std::move(incoming.packet));
}

void Engine::deliver(Peer& peer, Packet packet) noexcept {
  const auto inner = inspect(packet.bytes(), allowed_ips_);
  if (inner.length == 0) return messages.drop(DropReason::wrong_medium);
  if (inner.sender != peer.id) return messages.drop(DropReason::wrong_source);
  packet.resize(inner.length);
  delivered_.push(std::move(packet));
  if (delivered_.full()) flush_packets();
}

void Engine::flush_packets() noexcept {
  if (!delivered_.empty()) output_.deliver_packets(delivered_);
}

}  // namespace warren::wireguard
