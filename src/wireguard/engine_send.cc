// From packets to datagrams.
#include <algorithm>
#include <cstring>

#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/traffic_class.h"
#include "wireguard/engine.h"

namespace warren::wireguard {

namespace {

/// UDP over IPv4 takes 65507 bytes. Round, so that IPv6 with options fits too.
constexpr std::size_t max_datagram = 65000;
/// The kernel's UDP_MAX_SEGMENTS before Linux 6.9.
constexpr std::size_t max_segments = 64;
/// What is more would be pushed out of the cache before it is sent.
constexpr std::size_t flush_size = 256 << 10;

using Message = Transport<std::byte>;

std::size_t message_size(std::size_t packet, std::size_t mtu) noexcept {
  return Message::overhead + padded_length(packet, mtu);
}

// What of the traffic class is not hidden.
std::uint8_t marks_of(const Packet& packet) noexcept {
  return wire::traffic_class_of(packet.bytes(), Medium::ip) & wire::ecn::mask;
}

}  // namespace

void Engine::receive_packets(Batch& batch, const Now& now) noexcept {
  packets.packets.add(batch.size());
  packets.bytes.add(batch.total_bytes());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto why = DropReason::no_peer;
    auto* peer = route(batch.bytes(i), why);
    if (peer == nullptr) {
      packets.drop(why);
      continue;
    }
    send_or_stage(*peer, batch.take(i), now);
  }
  batch.clear();
  seal_pending();  // its jobs refer to sessions, which may end before flush()
  if (datagrams_.packets.total_bytes() >= flush_size) flush();
}

Peer* Engine::route(std::span<const std::byte> packet, DropReason& why) const noexcept {
  PeerId id = no_peer;
  const auto version = packet.empty() ? 0 : wire::load8(packet.data()) >> 4;
  if (version == 4 && packet.size() >= wire::Ipv4View::min_header_length)
    id = allowed_ips_.find(wire::Ipv4View(packet.data()).destination());
  else if (version == 6 && packet.size() >= wire::Ipv6View::min_header_length)
    id = allowed_ips_.find(wire::Ipv6View(packet.data()).destination());
  else
    why = DropReason::wrong_medium;
  if (id == no_peer || !up_) return nullptr;
  if (!peers_[id]->endpoint) {
    why = DropReason::no_endpoint;
    return nullptr;
  }
  return peers_[id].get();
}

void Engine::send_or_stage(Peer& peer, Packet packet, const Now& now) noexcept {
  auto* session = peer.sessions.current();
  if (session == nullptr || !is_usable(session->use(), now.time)) {
    stage(peer, packet);
    want_session(peer, now);
    return;
  }
  const bool data = packet.size() != 0;
  seal(peer, *session, std::move(packet));
  peer.timers.sent(now.time, data);
  if (peer.timers.renew_after_sending(session->use(), now.time)) send_initiation(peer, now);
  arm(peer);
}

// In buffers of the engine: whoever reads from the device needs its own for the next packets.
void Engine::stage(Peer& peer, const Packet& packet) noexcept {
  if (!peer.staged.empty() &&
      (peer.staged.size() >= staged_per_peer || staged_ >= options_.staged_total)) {
    peer.staged.erase(peer.staged.begin());  // what is oldest is the least wanted
    packets.drop(DropReason::queue_full);
    --staged_;
  }
  if (staged_ >= options_.staged_total) return packets.drop(DropReason::queue_full);
  auto copy = pool_.allocate();
  if (!copy || copy.tailroom() < packet.size())
    return packets.drop(copy ? DropReason::too_big : DropReason::no_buffer);
  copy.resize(packet.size());
  copy.offload() = packet.offload();
  std::memcpy(copy.data(), packet.data(), packet.size());
  peer.staged.push_back(std::move(copy));
  ++staged_;
}

void Engine::drop_staged(Peer& peer) noexcept {
  packets.drop(DropReason::no_session, peer.staged.size());
  staged_ -= peer.staged.size();
  peer.staged = std::vector<Packet>();
}

// Also when a session begins: as its initiator we have to use it first, with an empty packet where
// there is no other.
void Engine::send_staged_or_keepalive(Peer& peer, const Now& now) noexcept {
  if (!peer.endpoint) return;
  if (peer.staged.empty()) {
    auto* session = peer.sessions.current();
    if (session == nullptr || !is_usable(session->use(), now.time)) return want_session(peer, now);
    auto empty = pool_.allocate();
    if (!empty) return packets.drop(DropReason::no_buffer);
    return send_or_stage(peer, std::move(empty), now);
  }
  auto staged = std::exchange(peer.staged, std::vector<Packet>());
  staged_ -= staged.size();
  for (auto& packet : staged) send_or_stage(peer, std::move(packet), now);
}

void Engine::seal(Peer& peer, Session& session, Packet packet) noexcept {
  if (packet.offload().is_super_packet()) return seal_segments(peer, session, std::move(packet));
  if (packet.offload().checksum_pending()) {
    const auto done = offload::complete_checksum(packet.bytes(), packet.offload(), Medium::ip);
    if (!done) return packets.drop(done.error());
  }
  seal_alone(peer, session, std::move(packet));
}

void Engine::seal_alone(Peer& peer, Session& session, Packet packet) noexcept {
  const auto length = packet.size();
  const auto size = message_size(length, options_.mtu);
  const auto behind = size - Message::header_length - length;
  if (packet.headroom() < Message::header_length || packet.tailroom() < behind) {
    auto roomy = pool_.allocate();
    if (!roomy) return packets.drop(DropReason::no_buffer);
    if (roomy.tailroom() < length + behind) return packets.drop(DropReason::too_big);
    roomy.resize(length);
    std::memcpy(roomy.data(), packet.data(), length);
    packet = std::move(roomy);
  }
  const auto marks = marks_of(packet);
  packet.offload() = {};
  packet.resize(length + behind);
  std::memset(packet.data() + length, 0, behind);
  packet.prepend(Message::header_length);
  push_datagram(*peer.endpoint, std::move(packet), marks);
  seal_message(peer, session, datagrams_.packets.bytes(datagrams_.packets.size() - 1));
}

// Each segment is written right to where it is sealed: the copy that segmentation needs is the only
// one. A super-packet seldom fills its datagrams, so the next one goes on where it ends.
void Engine::seal_segments(Peer& peer, Session& session, Packet packet) noexcept {
  const auto plan = offload::SegmentPlan::make(packet.bytes(), packet.offload(), Medium::ip);
  if (!plan) return packets.drop(plan.error());
  const auto largest = message_size(plan->max_segment_size(), options_.mtu);
  const auto room = std::min(max_datagram, pool_.packet_size());
  if (largest > room) return packets.drop(DropReason::too_big);
  const auto per_datagram = std::min(max_segments, room / largest);
  const auto marks = marks_of(packet);
  for (std::size_t next = 0; next < plan->count();) {
    const auto begun = messages_in_last(*peer.endpoint, largest, marks) % per_datagram;
    const auto end = next + std::min(per_datagram - begun, plan->count() - next);
    const auto last = message_size(plan->segment_size(end - 1), options_.mtu);
    auto rest =
        add_messages(*peer.endpoint, begun, largest, (end - next - 1) * largest + last, marks);
    if (rest.empty()) return packets.drop(DropReason::no_buffer);
    for (; next < end; ++next) {
      const auto message = rest.first(std::min(largest, rest.size()));
      rest = rest.subspan(message.size());
      const auto segment = plan->segment_size(next);
      plan->write_segment(next, message.data() + Message::header_length);
      const auto padding = message.size() - Message::overhead - segment;
      std::memset(message.data() + Message::header_length + segment, 0, padding);
      seal_message(peer, session, message);
    }
  }
}

// How many messages the datagram that was pushed last has, where more of `size` bytes may follow them.
std::size_t Engine::messages_in_last(const Endpoint& to, std::size_t size,
                                     std::uint8_t marks) const noexcept {
  if (datagrams_.packets.empty()) return 0;
  const auto last = datagrams_.packets.size() - 1;
  const auto bytes = datagrams_.packets.bytes(last).size();
  const bool goes_on = datagrams_.packets.offload(last).gso_size == size && bytes % size == 0 &&
                       datagrams_.traffic_classes[last] == marks &&
                       datagrams_.addresses[last] == to;
  return goes_on ? bytes / size : 0;
}

// `bytes` more, for messages of `size`: behind the `begun` ones that the last datagram has, or in one
// of their own. Empty where there is no buffer.
std::span<std::byte> Engine::add_messages(const Endpoint& to, std::size_t begun, std::size_t size,
                                          std::size_t bytes, std::uint8_t marks) noexcept {
  const auto last = datagrams_.packets.size() - 1;
  auto datagram = begun == 0 ? pool_.allocate() : datagrams_.packets.take(last);
  if (!datagram) return {};
  datagram.resize(begun * size + bytes);
  if (datagram.size() > size) {
    datagram.offload().gso_type = OffloadHeader::gso_udp;
    datagram.offload().gso_size = static_cast<std::uint16_t>(size);
  }
  const auto added = datagram.bytes().last(bytes);
  if (begun == 0)
    push_datagram(to, std::move(datagram), marks);
  else
    datagrams_.packets.put(last, std::move(datagram));
  return added;
}

void Engine::seal_message(Peer& peer, Session& session, std::span<std::byte> message) noexcept {
  if (seal_count_ == batch_jobs) seal_pending();
  seal_jobs_[seal_count_++] = session.seal(message);
  peer.sent_bytes += message.size();
}

/// The datagram may still be written: it is sent by flush().
void Engine::push_datagram(const Endpoint& to, Packet packet, std::uint8_t marks) noexcept {
  if (datagrams_.packets.full()) flush();
  datagrams_.push(std::move(packet), to, marks);
}

void Engine::seal_pending() noexcept {
  if (seal_count_ == 0) return;
  aead_.seal(std::span(seal_jobs_).first(seal_count_));
  seal_count_ = 0;
}

void Engine::flush() noexcept {
  seal_pending();
  if (!datagrams_.packets.empty()) output_.send_datagrams(datagrams_);
}

}  // namespace warren::wireguard
