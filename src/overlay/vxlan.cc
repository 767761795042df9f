#include "overlay/vxlan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "offload/segment.h"
#include "overlay/too_big.h"
#include "wire/ethernet.h"
#include "wire/headers.h"
#include "wire/traffic_class.h"
#include "wire/vxlan.h"
#include "wire/vxlan_outer.h"

namespace warren::overlay {

using wire::EthernetView;
using wire::VxlanEditor;
using wire::VxlanView;

namespace {

constexpr std::size_t header = VxlanView::header_length;
/// UDP over IPv4 takes 65507 bytes. Round, so that IPv6 with options fits too.
constexpr std::size_t max_datagram = 65000;
/// The kernel's UDP_MAX_SEGMENTS before Linux 6.9.
constexpr std::size_t max_segments = 64;
/// Where flows are spread: ports that are nobody's (RFC 7348, section 5).
constexpr std::uint16_t first_source_port = 49152;

// Answers: one in a millisecond, and some at once.
constexpr std::chrono::milliseconds answer_interval(1);
constexpr auto answer_burst = 32 * answer_interval;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) noexcept {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15U;
  return hash ^ hash >> 32;
}

}  // namespace

std::size_t VxlanEngine::AddressHash::operator()(const IpAddress& address) const noexcept {
  const auto bytes = std::as_bytes(std::span(address.bytes));
  return mix(mix(address.ipv6 ? 1 : 0, wire::load_raw<std::uint64_t>(bytes.data())),
             wire::load_raw<std::uint64_t>(bytes.data() + 8));
}

VxlanEngine::VxlanEngine(VxlanOutput& output, Pool& pool, Counters& frames,
                         const l2::MacTable::Limits& table, std::uint64_t seed)
    : output_(output), pool_(pool), frames_(frames), table_(table, seed) {
  config_.table = table;
}

// Set-up.

Result<> VxlanEngine::check(const VxlanConfig& config) {
  if (config.vni > VxlanView::max_vni)
    return fail(
        fmt::format("VNI {} is too large; {} is the largest", config.vni, VxlanView::max_vni));
  if (config.peers.size() > max_peers)
    return fail(
        fmt::format("{} peers are too many; {} are possible", config.peers.size(), max_peers));
  const auto less = [](const IpAddress& a, const IpAddress& b) {
    return std::tie(a.ipv6, a.bytes) < std::tie(b.ipv6, b.bytes);
  };
  if (config.packets)
    for (const auto& peer : config.peers)
      if (peer.ipv6 != config.packets->from.ipv6)
        return fail(fmt::format("the peer {} is not of the family of {}", peer.to_string(),
                                config.packets->from.to_string()));
  std::set<IpAddress, decltype(less)> peers(less);
  for (const auto& peer : config.peers)
    if (!peers.insert(peer).second)
      return fail(fmt::format("the peer {} is there twice", peer.to_string()));
  for (const auto& [mac, peer] : config.addresses) {
    const auto number = l2::mac_number(mac);
    if (number == 0 || l2::is_group_mac(number))
      return fail(fmt::format("{} is no single host's address", mac.to_string()));
    if (!peers.contains(peer))
      return fail(fmt::format("{} is to be behind {}, which is not among the peers",
                              mac.to_string(), peer.to_string()));
  }
  return {};
}

Result<> VxlanEngine::configure(const VxlanConfig& config) {
  if (auto good = check(config); !good) return good;
  if (config.addresses.size() > table_.limits().max_entries)
    return fail(fmt::format("{} static addresses are more than the table of {} takes",
                            config.addresses.size(), table_.limits().max_entries));
  table_.set_ageing(config.table.ageing);
  set_peers(config.peers);
  for (const auto& former : config_.addresses)
    if (std::ranges::find(config.addresses, former) == config.addresses.end())
      table_.erase(l2::mac_number(former.mac));
  for (const auto& [mac, peer] : config.addresses)
    if (!table_.set_static(l2::mac_number(mac), find(peer)))
      return fail(fmt::format("{} is to be behind {}: the table of {} addresses has no room for it",
                              mac.to_string(), peer.to_string(), table_.limits().max_entries));
  config_ = config;
  return {};
}

void VxlanEngine::set_peers(const std::vector<IpAddress>& addresses) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    auto& peer = peers_[i];
    if (peer == nullptr || std::ranges::find(addresses, peer->address) != addresses.end()) continue;
    table_.erase_owner(static_cast<PeerId>(i));
    by_address_.erase(peer->address);
    peer.reset();
  }
  everybody_.clear();
  for (const auto& address : addresses) {
    auto id = find(address);
    if (id == no_peer) {
      auto hole = std::find(peers_.begin(), peers_.end(), nullptr);
      if (hole == peers_.end()) hole = peers_.insert(hole, nullptr);
      *hole = std::make_unique<Peer>();
      (*hole)->address = address;
      id = static_cast<PeerId>(hole - peers_.begin());
      by_address_.emplace(address, id);
    }
    everybody_.push_back(id);
  }
}

VxlanEngine::PeerId VxlanEngine::find(const IpAddress& address) const noexcept {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? no_peer : found->second;
}

// From frames to datagrams.

void VxlanEngine::send_frames(Batch& batch, Time now) noexcept {
  frames_.packets.add(batch.size());
  frames_.bytes.add(batch.total_bytes());
  for (std::size_t i = 0; i < batch.size(); ++i) send_frame(batch.take(i), now);
  batch.clear();
  flush();
  if (!answers_.empty()) output_.return_frames(answers_);
}

void VxlanEngine::send_frame(Packet frame, Time now) noexcept {
  const std::span<const std::byte> bytes = frame.bytes();
  if (bytes.size() < EthernetView::min_header_length) return frames_.drop(DropReason::malformed);
  const auto destination = l2::mac_number(bytes.first<6>());
  const auto one = l2::is_group_mac(destination) ? no_peer : table_.find(destination, now);
  const Way way{one == no_peer ? std::span<const PeerId>(everybody_) : std::span(&one, 1),
                source_for(bytes), class_for(bytes)};
  if (way.peers.empty()) return frames_.drop(DropReason::no_peer);
  if (way_mtu_ != 0 && is_too_large(frame, way)) {
    too_large_.add(1);
    // Who is told what nobody knows to be beyond the tunnel, may be told something wrong.
    if (one != no_peer && answer(frame, way, now) && !config_.carries_large)
      return frames_.drop(DropReason::too_big);
  }
  if (frame.offload().is_super_packet() && !config_.packets)
    return send_segments(std::move(frame), way);
  if (!frame.offload().is_super_packet() && frame.offload().checksum_pending()) {
    const auto done = offload::complete_checksum(frame.bytes(), frame.offload(), Medium::ethernet);
    if (!done) return frames_.drop(done.error());
  }
  if (config_.packets) return send_as_packets(std::move(frame), way);
  send_whole(std::move(frame), way);
}

bool VxlanEngine::is_too_large(const Packet& frame, const Way& way) const noexcept {
  const auto outer = wire::vxlan_outer_length(peers_[way.peers[0]]->address.ipv6);
  if (!frame.offload().is_super_packet()) return outer + frame.size() > way_mtu_;
  const auto headers = wire::parse_headers(frame.bytes(), Medium::ethernet);
  if (!headers) return false;
  const auto payload = std::min<std::size_t>(frame.offload().gso_size, headers->payload_length());
  return outer + headers->length() + payload > way_mtu_;
}

// True where the sender is one who is told, also if now is not the time to do it.
bool VxlanEngine::answer(const Packet& frame, const Way& way, Time now) noexcept {
  const auto headers = wire::parse_headers(frame.bytes(), Medium::ethernet);
  const auto outer = wire::vxlan_outer_length(peers_[way.peers[0]]->address.ipv6);
  if (!headers || way_mtu_ < outer + headers->l3) return false;
  const auto mtu = way_mtu_ - outer - headers->l3;
  if (!wants_answer(frame.bytes(), *headers, mtu)) return false;
  if (next_answer_ > now + answer_burst || answers_.full()) return true;
  next_answer_ = std::max(next_answer_, now) + answer_interval;
  auto out = allocate();
  if (!out) return true;
  auto quoted = *headers;
  if (frame.offload().is_super_packet()) {
    // It complains about a packet that there would have been.
    const auto plan = offload::SegmentPlan::make(frame.bytes(), frame.offload(), Medium::ethernet);
    if (!plan || out.tailroom() < plan->segment_size(0)) return false;
    out.resize(plan->segment_size(0));
    plan->write_segment(0, out.data());
    quoted.end = static_cast<std::uint32_t>(plan->segment_size(0));
  } else {
    out.resize(std::min(frame.size(), headers->l3 + max_quote(headers->ipv6)));
    std::memcpy(out.data(), frame.data(), out.size());
  }
  write_answer(out, quoted, mtu);
  answers_.push(std::move(out));
  answers_given_.add(1);
  return true;
}

// The last peer gets the frame itself, those before it copies.
void VxlanEngine::send_as_packets(Packet frame, const Way& way) noexcept {
  for (const auto id : way.peers.first(way.peers.size() - 1)) {
    auto packet = copy(frame, wire::vxlan_outer_length(true));
    if (!packet) return frames_.drop(DropReason::no_buffer);
    send_packet(std::move(packet), *peers_[id], way);
  }
  send_packet(std::move(frame), *peers_[way.peers.back()], way);
}

void VxlanEngine::send_packet(Packet frame, Peer& peer, const Way& way) noexcept {
  const auto& from = *config_.packets;
  const auto length = wire::vxlan_outer_length(from.from.ipv6);
  const bool super = frame.offload().is_super_packet();
  if (!super && length + frame.size() > max_datagram) return frames_.drop(DropReason::too_big);
  if (frame.headroom() < length) frame = copy(frame, length);
  if (!frame) return frames_.drop(DropReason::no_buffer);
  const auto port = config_.source_ports > 1
                        ? static_cast<std::uint16_t>(first_source_port + way.source)
                        : from.port;
  wire::write_vxlan_outer(frame.prepend(length), {from.from, peer.address, port, from.port,
                                                  config_.vni, next_id_, way.traffic_class});
  auto& offload = frame.offload();
  std::size_t count = 1;
  if (super) {
    offload.gso_type |= from.from.ipv6 ? OffloadHeader::gso_tunnel6 : OffloadHeader::gso_tunnel4;
    if (offload.checksum_pending())
      offload.checksum_start = static_cast<std::uint16_t>(offload.checksum_start + length);
    count = std::max<std::size_t>(1, frame.size() / std::max<std::uint16_t>(1, offload.gso_size));
  } else {
    offload = {};
    wire::finish_vxlan_outer(frame.bytes(), next_id_);
  }
  next_id_ = static_cast<std::uint16_t>(next_id_ + count);
  peer.sent.add(count);
  if (held_.full()) flush();
  held_.push(std::move(frame));
}

// The header goes in front of the frame, where it lies, unless the datagram before has room for it.
void VxlanEngine::send_whole(Packet frame, const Way& way) noexcept {
  const auto size = header + frame.size();
  if (size > max_datagram) return frames_.drop(DropReason::too_big);
  if (size <= open_.message && is_open_to(way)) return append(frame);
  if (frame.headroom() < header) frame = copy(frame, header);
  if (!frame) return frames_.drop(DropReason::no_buffer);
  frame.offload() = {};
  VxlanEditor(frame.prepend(header)).write(config_.vni);
  dispatch(std::move(frame), way, 1);
}

// Where all buffers wait to be sent, they are sent now.
Packet VxlanEngine::allocate() noexcept {
  auto packet = pool_.allocate();
  if (!packet) {
    flush();
    packet = pool_.allocate();
  }
  return packet;
}

Packet VxlanEngine::copy(const Packet& frame, std::size_t headroom) noexcept {
  auto out = allocate();
  if (!out || out.headroom() < headroom || out.tailroom() < frame.size()) return {};
  out.resize(frame.size());
  out.offload() = frame.offload();
  std::memcpy(out.data(), frame.data(), frame.size());
  return out;
}

// Each segment is written right behind its header: the copy that segmentation needs is the only one.
void VxlanEngine::send_segments(Packet frame, const Way& way) noexcept {
  const auto plan = offload::SegmentPlan::make(frame.bytes(), frame.offload(), Medium::ethernet);
  if (!plan) return frames_.drop(plan.error());
  const auto message = header + plan->max_segment_size();
  const auto capacity = messages_per_datagram(message);
  if (capacity == 0) return frames_.drop(DropReason::too_big);
  for (std::size_t next = 0; next < plan->count();) {
    const bool open = open_.message == message && is_open_to(way);
    auto datagram = open ? held_.take(held_.size() - 1) : allocate();
    if (!datagram) return frames_.drop(DropReason::no_buffer);
    const auto count = std::min(capacity - (open ? open_.count : 0), plan->count() - next);
    const auto last = header + plan->segment_size(next + count - 1);
    const auto end = datagram.size();
    datagram.resize(end + (count - 1) * message + last);
    for (std::size_t i = 0; i < count; ++i) {
      auto* out = datagram.data() + end + i * message;
      VxlanEditor(out).write(config_.vni);
      plan->write_segment(next++, out + header);
    }
    if (open) {
      extend(std::move(datagram), count);
    } else {
      if (count > 1) datagram.offload().gso_size = static_cast<std::uint16_t>(message);
      dispatch(std::move(datagram), way, count);
      if (way.peers.size() == 1)
        open_ = {message, count, way.peers.front(), way.source, way.traffic_class};
    }
    if (last < message) open_ = {};
  }
}

// So many messages of this size; 0 where not even one fits.
std::size_t VxlanEngine::messages_per_datagram(std::size_t message) const noexcept {
  return std::min(max_segments, std::min(max_datagram, pool_.packet_size()) / message);
}

bool VxlanEngine::is_open_to(const Way& way) const noexcept {
  return open_.message != 0 && open_.count < messages_per_datagram(open_.message) &&
         way.peers.size() == 1 && way.peers.front() == open_.peer && way.source == open_.source &&
         way.traffic_class == open_.traffic_class;
}

// A shorter message is the last of its datagram.
void VxlanEngine::append(const Packet& frame) noexcept {
  auto datagram = held_.take(held_.size() - 1);
  const auto end = datagram.size();
  datagram.resize(end + header + frame.size());
  VxlanEditor(datagram.data() + end).write(config_.vni);
  std::memcpy(datagram.data() + end + header, frame.data(), frame.size());
  extend(std::move(datagram), 1);
  if (header + frame.size() < open_.message) open_ = {};
}

// `datagram` is the one that is open, with `count` more messages.
void VxlanEngine::extend(Packet datagram, std::size_t count) noexcept {
  auto& last = datagrams_[datagram_count_ - 1];
  last.bytes = datagram.bytes();
  last.segment_size = open_.message;
  held_.put(held_.size() - 1, std::move(datagram));
  peers_[open_.peer]->sent.add(count);
  open_.count += count;
}

// All peers are sent the same bytes.
void VxlanEngine::dispatch(Packet datagram, const Way& way, std::size_t count) noexcept {
  open_ = {};
  if (held_.full()) flush();
  VxlanDatagram out;
  out.bytes = datagram.bytes();
  out.segment_size = datagram.offload().gso_size;
  out.source = way.source;
  out.traffic_class = way.traffic_class;
  held_.push(std::move(datagram));
  for (const auto id : way.peers) {
    if (datagram_count_ == datagrams_.size()) send_pending();
    auto& peer = *peers_[id];
    peer.sent.add(count);
    out.to = &peer.address;
    datagrams_[datagram_count_++] = out;
  }
}

void VxlanEngine::send_pending() noexcept {
  output_.send_datagrams(std::span(datagrams_).first(datagram_count_));
  datagram_count_ = 0;
}

void VxlanEngine::flush() noexcept {
  if (datagram_count_ != 0) send_pending();
  if (config_.packets && !held_.empty()) output_.send_packets(held_);
  held_.clear();
  open_ = {};
}

// The packets of a flow have one source port, so that they keep their order.
std::uint16_t VxlanEngine::source_for(std::span<const std::byte> frame) const noexcept {
  if (config_.source_ports <= 1) return 0;
  std::uint64_t hash = 0;
  const auto headers = wire::parse_headers(frame, Medium::ethernet);
  if (!headers) {
    hash = mix(mix(0, wire::load_raw<std::uint64_t>(frame.data())),
               wire::load_raw<std::uint32_t>(frame.data() + 8));
  } else {
    const auto* ip = frame.data() + headers->l3;
    const auto hosts = headers->ipv6 ? std::span(ip + 8, 32) : std::span(ip + 12, 8);
    for (std::size_t i = 0; i < hosts.size(); i += 8)
      hash = mix(hash, wire::load_raw<std::uint64_t>(hosts.data() + i));
    // Only the first fragment of a packet has ports, and the others are to follow it.
    if (!headers->fragment && headers->l4_length >= 4)
      hash = mix(hash, wire::load_raw<std::uint32_t>(frame.data() + headers->l4));
  }
  return static_cast<std::uint16_t>((hash & 0xffffffffU) * config_.source_ports >> 32);
}

std::uint8_t VxlanEngine::class_for(std::span<const std::byte> frame) const noexcept {
  const auto inner = wire::traffic_class_of(frame, Medium::ethernet);
  if (!config_.dscp) return inner;
  return static_cast<std::uint8_t>(*config_.dscp << 2 | (inner & wire::ecn::mask));
}

// From datagrams to frames.

void VxlanEngine::receive_datagrams(std::span<const ReceivedVxlan> datagrams, Time now) noexcept {
  for (const auto& datagram : datagrams) {
    const auto from = find(datagram.from);
    const auto size = datagram.segment_size == 0 ? datagram.bytes.size() : datagram.segment_size;
    auto rest = datagram.bytes;
    do {
      const auto message = rest.first(std::min(size, rest.size()));
      rest = rest.subspan(message.size());
      receive_message(message, from, datagram.traffic_class, now);
    } while (!rest.empty());
  }
  deliver_pending();
}

void VxlanEngine::receive_message(std::span<std::byte> message, PeerId from,
                                  std::uint8_t traffic_class, Time now) noexcept {
  messages.packets.add(1);
  messages.bytes.add(message.size());
  if (from == no_peer) return messages.drop(DropReason::no_peer);
  const auto view = VxlanView::parse(message);
  if (!view || !view->has_vni() || message.size() < header + EthernetView::min_header_length)
    return messages.drop(DropReason::malformed);
  if (view->vni() != config_.vni) return messages.drop(DropReason::wrong_network);
  const auto frame = message.subspan(header);
  const auto source = l2::mac_number(std::span<const std::byte>(frame).subspan<6, 6>());
  if (source == 0 || l2::is_group_mac(source)) return messages.drop(DropReason::wrong_source);
  if (config_.learning) (void)table_.learn(source, from, now);
  peers_[from]->received.add(1);
  if (!wire::decapsulate_ecn(frame, Medium::ethernet, traffic_class))
    return messages.drop(DropReason::congested);
  if (delivered_count_ == delivered_.size()) deliver_pending();
  delivered_[delivered_count_++] = frame;
}

void VxlanEngine::deliver_pending() noexcept {
  if (delivered_count_ == 0) return;
  output_.deliver_frames(std::span(delivered_).first(delivered_count_));
  delivered_count_ = 0;
}

}  // namespace warren::overlay
