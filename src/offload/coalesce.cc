#include "offload/coalesce.h"

#include <cstring>

#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"
#include "wire/virtio_net.h"

namespace warren::offload {

using namespace wire;  // NOLINT: this file is about nothing else

namespace {

constexpr std::size_t max_ip_length = 65535;
constexpr std::uint8_t never_merged = tcp_flag::fin | tcp_flag::syn | tcp_flag::rst | tcp_flag::urg;

bool same(const std::byte* a, const std::byte* b, std::size_t from, std::size_t to) noexcept {
  return std::memcmp(a + from, b + from, to - from) == 0;
}

std::span<const std::byte> addresses(const std::byte* packet, const Headers& headers) noexcept {
  return headers.ipv6 ? std::span(packet + headers.l3 + 8, 32)
                      : std::span(packet + headers.l3 + 12, 8);
}

bool same_hosts(const std::byte* a, const Headers& of_a, const std::byte* b,
                const Headers& of_b) noexcept {
  const auto hosts = addresses(a, of_a);
  return of_a.ipv6 == of_b.ipv6 && of_a.protocol == of_b.protocol &&
         std::memcmp(hosts.data(), addresses(b, of_b).data(), hosts.size()) == 0;
}

bool has_ports(const Headers& headers) noexcept {
  return headers.l4_length != 0 &&
         (headers.protocol == ip_protocol::tcp || headers.protocol == ip_protocol::udp);
}

std::size_t hash_flow(const std::byte* packet, const Headers& headers) noexcept {
  std::uint64_t hash = load_raw<std::uint32_t>(packet + headers.l4) + headers.protocol;
  const auto hosts = addresses(packet, headers);
  for (std::size_t i = 0; i < hosts.size(); i += 8) {
    hash = (hash ^ load_raw<std::uint64_t>(hosts.data() + i)) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 32;
  }
  return hash;
}

Sum sum_pseudo_header(const std::byte* packet, const Headers& headers,
                      std::size_t length) noexcept {
  const auto hosts = addresses(packet, headers);
  return headers.ipv6 ? sum_pseudo_header6(hosts.data(), headers.protocol,
                                           static_cast<std::uint32_t>(length))
                      : sum_pseudo_header4(hosts.data(), headers.protocol,
                                           static_cast<std::uint16_t>(length));
}

std::uint16_t checksum_offset(const Headers& headers) noexcept {
  return headers.protocol == ip_protocol::tcp ? TcpView::checksum_at : UdpView::checksum_at;
}

bool same_ipv4(const std::byte* a, const std::byte* b) noexcept {
  return same(a, b, 0, 2) && same(a, b, 6, 10);  // TOS; DF, TTL, protocol
}

// Version, traffic class, flow label; next header, hop limit; extension headers.
bool same_ipv6(const std::byte* a, const std::byte* b, std::size_t length) noexcept {
  return same(a, b, 0, 4) && same(a, b, 6, 8) && same(a, b, Ipv6View::min_header_length, length);
}

bool same_tcp(const std::byte* a, const std::byte* b, std::size_t length) noexcept {
  const auto different = TcpView(a).flags() ^ TcpView(b).flags();
  return same(a, b, 8, 13) && same(a, b, 14, 16) && same(a, b, 18, length) &&
         (different & ~(tcp_flag::psh | tcp_flag::cwr)) == 0 &&
         (TcpView(b).flags() & tcp_flag::cwr) == 0;
}

}  // namespace

bool CoalescedPacket::copy_to(Packet& out) const noexcept {
  if (size > out.tailroom()) return false;
  out.resize(size);
  auto* to = out.data();
  for (const auto& piece : pieces()) {
    std::memcpy(to, piece.iov_base, piece.iov_len);
    to += piece.iov_len;
  }
  out.offload() = offload;
  return true;
}

bool Coalescer::add(std::span<const std::byte> packet, const OffloadHeader& offload) noexcept {
  if (packet_count_ == max_packets) return false;
  auto& input = inputs_[packet_count_++];
  input.bytes = packet;
  input.offload = offload;
  input.next = none;
  const auto headers = parse_headers(packet, options_.medium);
  if (!headers) {
    start_group({});
    return true;
  }
  // Without ports a fragment's flow is not known: none between these hosts may be overtaken.
  if (headers->fragment) close_groups_between_hosts(input, *headers);
  if (!has_ports(*headers)) {
    start_group(*headers);
    return true;
  }
  auto& newest = find_flow(input, *headers);
  bool sound = may_merge(input, *headers);
  if (newest != 0) {
    auto& group = groups_[newest - 1];
    if (sound && append(group, input, *headers, sound)) return true;
    group.open = false;
  }
  auto& group = start_group(*headers);
  // Nobody would segment again what has smaller segments.
  const bool too_small = headers->protocol == ip_protocol::tcp && group.segment < min_tcp_segment;
  group.open = sound && !group.psh && !too_small;
  newest = static_cast<std::uint16_t>(group_count_);
  return true;
}

// Whether the packet by itself is one that can be merged, checksums aside.
bool Coalescer::may_merge(const Input& input, const Headers& headers) const noexcept {
  if (headers.fragment || headers.authenticated || headers.end != input.bytes.size() ||
      headers.payload_length() == 0 || headers.length() > max_header_length ||
      input.offload.gso_type != OffloadHeader::gso_none) {
    return false;
  }
  if (!headers.ipv6 && headers.l4 - headers.l3 != Ipv4View::min_header_length) return false;
  if (input.offload.checksum_pending() &&
      (!options_.trust_checksums || input.offload.checksum_start != headers.l4 ||
       input.offload.checksum_offset != checksum_offset(headers))) {
    return false;
  }
  const auto* transport = input.bytes.data() + headers.l4;
  if (headers.protocol == ip_protocol::tcp) {
    return (headers.ipv6 ? options_.tcp6 : options_.tcp4) &&
           (TcpView(transport).flags() & never_merged) == 0;
  }
  return options_.udp && UdpView(transport).length() == headers.end - headers.l4 &&
         UdpView(transport).checksum() != 0;
}

// Whether the checksums are right: of the IPv4 header and of what it carries.
bool Coalescer::verify(const Input& input, const Headers& headers) const noexcept {
  const auto* packet = input.bytes.data();
  if (!headers.ipv6 && !is_valid(sum_bytes(Ipv4View(packet + headers.l3).header()))) return false;
  const auto transport = input.bytes.subspan(headers.l4);
  const auto pseudo = sum_pseudo_header(packet, headers, transport.size());
  if (input.offload.checksum_pending()) {
    // Behind a routing header the pseudo-header is another one, and could not be made anew.
    return fold(pseudo) ==
           fold(load_raw<std::uint16_t>(transport.data() + checksum_offset(headers)));
  }
  const bool extensions = headers.ipv6 && headers.l4 - headers.l3 != Ipv6View::min_header_length;
  const bool known = (input.offload.flags & OffloadHeader::checksum_valid) != 0;
  if (options_.trust_checksums && known && !extensions) return true;
  return is_valid(pseudo + sum_bytes(transport));
}

// Whether the headers say that the packet comes right behind the group.
bool Coalescer::continues(Group& group, const Input& input, const Headers& headers) const noexcept {
  const auto& expected = group.headers;
  if (!group.open || headers.l3 != expected.l3 || headers.l4 != expected.l4 ||
      headers.l4_length != expected.l4_length) {
    return false;
  }
  const auto payload = headers.payload_length();
  const auto total = headers.length() - headers.l3 + group.payload + payload;
  if (payload > group.segment || total > max_ip_length) return false;

  const auto* first = inputs_[group.first].bytes.data();
  const auto* packet = input.bytes.data();
  if (!same(first, packet, 0, headers.l3)) return false;
  const auto* first_ip = first + headers.l3;
  const auto* ip = packet + headers.l3;
  if (!(headers.ipv6 ? same_ipv6(first_ip, ip, headers.l4 - headers.l3) : same_ipv4(first_ip, ip)))
    return false;
  if (headers.protocol == ip_protocol::udp) {
    if (group.count == max_udp_packets) return false;
  } else {
    const auto sequence = TcpView(first + headers.l4).sequence() + group.payload;
    if (TcpView(packet + headers.l4).sequence() != sequence ||
        !same_tcp(first + headers.l4, packet + headers.l4, headers.l4_length)) {
      return false;
    }
  }
  if (headers.ipv6) return true;

  const auto first_id = Ipv4View(first_ip).id();
  const auto id = Ipv4View(ip).id();
  const bool grows = id == static_cast<std::uint16_t>(first_id + group.count);
  const bool fixed =
      id == first_id && (Ipv4View(ip).fragment_word() & Ipv4View::dont_fragment) != 0;
  if (group.id_rule == IdRule::unknown) group.id_rule = grows ? IdRule::grows : IdRule::fixed;
  return group.id_rule == IdRule::grows ? grows : fixed;
}

// `sound` becomes false where the packet continues the group but its checksum is wrong.
bool Coalescer::append(Group& group, Input& input, const Headers& headers, bool& sound) noexcept {
  if (!continues(group, input, headers)) return false;
  // Most packets that stay alone are never summed: only now is it certain that there is something
  // to merge.
  if (!group.verified && !verify(inputs_[group.first], group.headers)) return false;
  group.verified = true;
  sound = verify(input, headers);
  if (!sound) return false;

  const auto index = static_cast<std::uint16_t>(packet_count_ - 1);
  inputs_[group.last].next = index;
  group.last = index;
  ++group.count;
  const auto payload = headers.payload_length();
  group.payload += payload;
  group.psh = headers.protocol == ip_protocol::tcp &&
              (TcpView(input.bytes.data() + headers.l4).flags() & tcp_flag::psh) != 0;
  group.open = payload == group.segment && !group.psh;
  return true;
}

// Linear probing; the table is never more than half full.
std::uint16_t& Coalescer::find_flow(const Input& input, const Headers& headers) noexcept {
  const auto* packet = input.bytes.data();
  for (auto slot = hash_flow(packet, headers);; ++slot) {
    auto& entry = table_[slot % table_size];
    if (entry == 0) return entry;
    const auto& group = groups_[entry - 1];
    const auto* first = inputs_[group.first].bytes.data();
    if (same_hosts(first, group.headers, packet, headers) &&
        load_raw<std::uint32_t>(first + group.headers.l4) ==
            load_raw<std::uint32_t>(packet + headers.l4)) {
      return entry;
    }
  }
}

// Of the packet that was added last.
Coalescer::Group& Coalescer::start_group(const Headers& headers) noexcept {
  auto& group = groups_[group_count_++];
  group = {};
  group.headers = headers;
  group.first = group.last = static_cast<std::uint16_t>(packet_count_ - 1);
  group.payload = group.segment = headers.payload_length();
  group.psh =
      headers.protocol == ip_protocol::tcp && headers.l4_length != 0 &&
      (TcpView(inputs_[group.first].bytes.data() + headers.l4).flags() & tcp_flag::psh) != 0;
  return group;
}

void Coalescer::close_groups_between_hosts(const Input& input, const Headers& headers) noexcept {
  for (std::size_t i = 0; i < group_count_; ++i) {
    auto& group = groups_[i];
    if (group.open &&
        same_hosts(inputs_[group.first].bytes.data(), group.headers, input.bytes.data(), headers)) {
      group.open = false;
    }
  }
}

void Coalescer::write_merged_header(const Group& group, std::byte* header,
                                    OffloadHeader& offload) const noexcept {
  const auto& headers = group.headers;
  std::memcpy(header, inputs_[group.first].bytes.data(), headers.length());
  const auto ip_length = headers.length() - headers.l3 + group.payload;
  if (headers.ipv6) {
    Ipv6Editor(header + headers.l3)
        .set_payload_length(static_cast<std::uint16_t>(ip_length - Ipv6View::min_header_length));
  } else {
    const Ipv4Editor ip(header + headers.l3);
    ip.set_total_length(static_cast<std::uint16_t>(ip_length));
    ip.set_checksum(0);
    ip.set_checksum(wire::finish(sum_bytes(ip.header())));
  }
  auto* transport = header + headers.l4;
  const std::size_t length = headers.l4_length + std::size_t{group.payload};
  const auto pending = fold(sum_pseudo_header(header, headers, length));
  offload = {};
  if (headers.protocol == ip_protocol::tcp) {
    const TcpEditor tcp(transport);
    offload.gso_type = headers.ipv6 ? OffloadHeader::gso_tcp6 : OffloadHeader::gso_tcp4;
    if ((tcp.flags() & tcp_flag::cwr) != 0) offload.gso_type |= OffloadHeader::gso_ecn;
    if (group.psh) tcp.set_flags(tcp.flags() | tcp_flag::psh);
    tcp.set_checksum(pending);
  } else {
    const UdpEditor udp(transport);
    offload.gso_type = OffloadHeader::gso_udp;
    udp.set_length(static_cast<std::uint16_t>(length));
    udp.set_checksum(pending);
  }
  offload.flags = OffloadHeader::needs_checksum;
  offload.header_length = static_cast<std::uint16_t>(headers.length());
  offload.gso_size = static_cast<std::uint16_t>(group.segment);
  offload.checksum_start = static_cast<std::uint16_t>(headers.l4);
  offload.checksum_offset = checksum_offset(headers);
}

void Coalescer::make_item(const Group& group, CoalescedPacket& item) noexcept {
  const auto begin = piece_count_;
  const auto piece = [&](const void* data, std::size_t size) {
    pieces_[piece_count_++] = {const_cast<void*>(data),
                               size};  // NOLINT: iovec serves reads as well
  };
  const auto& first = inputs_[group.first];
  item.packets = group.count;
  piece(&item.offload, sizeof item.offload);
  if (group.count == 1) {
    item.offload = first.offload;
    item.size = first.bytes.size();
    piece(first.bytes.data(), first.bytes.size());
  } else {
    const auto header_length = group.headers.length();
    auto* header = header_storage_.data() + header_bytes_;
    header_bytes_ += header_length;
    write_merged_header(group, header, item.offload);
    item.size = header_length + group.payload;
    piece(header, header_length);
    for (auto i = group.first; i != none; i = inputs_[i].next) {
      const auto payload = inputs_[i].bytes.subspan(header_length);
      piece(payload.data(), payload.size());
    }
  }
  item.pieces_ = std::span(pieces_).subspan(begin, piece_count_ - begin);
}

std::span<const CoalescedPacket> Coalescer::finish() noexcept {
  piece_count_ = 0;
  header_bytes_ = 0;
  for (std::size_t i = 0; i < group_count_; ++i) make_item(groups_[i], items_[i]);
  const auto count = group_count_;
  if (packet_count_ > 0) table_.fill(0);
  packet_count_ = 0;
  group_count_ = 0;
  return std::span(items_).first(count);
}

}  // namespace warren::offload
