#include "offload/segment.h"

#include <cstring>

#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"
#include "wire/virtio_net.h"
#include "wire/vxlan_outer.h"

namespace warren::offload {

using namespace wire;  // NOLINT: this file is about nothing else

namespace {

constexpr std::size_t flags_word_at = 12;  // in the TCP header
constexpr std::size_t max_ip_length = 65535;

constexpr std::uint16_t on_last_only = tcp_flag::fin | tcp_flag::psh;
constexpr std::uint16_t on_first_only = tcp_flag::cwr;

// Packets without a transport checksum are summed all the same: the kernel does so too.
Sum sum_pseudo_header(const std::byte* packet, const Headers& headers) noexcept {
  const auto* ip = packet + headers.l3;
  return headers.ipv6 ? sum_pseudo_header6(ip + 8, headers.protocol, 0)
                      : sum_pseudo_header4(ip + 12, headers.protocol, 0);
}

}  // namespace

tl::expected<SegmentPlan, DropReason> SegmentPlan::make(std::span<const std::byte> packet,
                                                        const OffloadHeader& offload,
                                                        Medium medium) noexcept {
  if (!offload.is_super_packet()) return tl::unexpected(DropReason::bad_offload);
  if (offload.is_tunnelled()) return make_tunnelled(packet, offload, medium);
  const auto headers = parse_headers(packet, medium);
  if (const auto reason = check_offload(packet, offload, headers ? &*headers : nullptr)) {
    return tl::unexpected(*reason);
  }
  SegmentPlan plan;
  plan.headers_ = *headers;
  plan.packet_ = packet.first(headers->end);
  plan.segment_payload_ = offload.gso_size;
  const std::size_t payload = headers->payload_length();
  plan.count_ = payload == 0 ? 1 : (payload + offload.gso_size - 1) / offload.gso_size;
  plan.sum_common_headers(offload);
  return plan;
}

// The plan of the frame, and then everything further back by the length of the outer headers.
tl::expected<SegmentPlan, DropReason> SegmentPlan::make_tunnelled(std::span<const std::byte> packet,
                                                                  const OffloadHeader& offload,
                                                                  Medium medium) noexcept {
  const auto outer = find_vxlan_outer(packet);
  if (medium != Medium::ip || !outer) return tl::unexpected(DropReason::malformed);
  auto of_frame = offload;
  of_frame.gso_type &=
      static_cast<std::uint8_t>(~(OffloadHeader::gso_tunnel4 | OffloadHeader::gso_tunnel6));
  if (of_frame.checksum_pending()) {
    if (of_frame.checksum_start < *outer) return tl::unexpected(DropReason::bad_offload);
    of_frame.checksum_start = static_cast<std::uint16_t>(of_frame.checksum_start - *outer);
  }
  auto plan = make(packet.subspan(*outer), of_frame, Medium::ethernet);
  if (!plan) return plan;
  // Each segment is to fit one IP packet.
  if (*outer + plan->max_segment_size() > max_ip_length) return tl::unexpected(DropReason::too_big);
  const auto shift = static_cast<std::uint32_t>(*outer);
  plan->outer_ = *outer;
  plan->outer_id_ = Ipv4View(packet.data()).id();
  plan->packet_ = packet.first(plan->headers_.end + *outer);
  plan->headers_.l3 += shift;
  plan->headers_.l4 += shift;
  plan->headers_.end += shift;
  return plan;
}

void SegmentPlan::sum_common_headers(const OffloadHeader& offload) noexcept {
  const auto* ip = packet_.data() + headers_.l3;
  const auto* transport = packet_.data() + headers_.l4;
  if (!headers_.ipv6) {
    const Ipv4View view(ip);
    id_ = view.id();
    ip_sum_ = sum_bytes(view.header()) + Sum{finish(sum_of(view.total_length()))} +
              Sum{finish(sum_of(id_))} + Sum{finish(view.checksum())};
  }
  const bool tcp = headers_.protocol == ip_protocol::tcp;
  const auto checksum = tcp ? TcpView(transport).checksum() : UdpView(transport).checksum();
  // The pending sum is the pseudo-header's with the length of the whole. Behind a routing header it
  // is for another destination than the IP header's, so it is taken as it is.
  transport_sum_ =
      offload.checksum_pending()
          ? Sum{checksum} + finish(sum_of(static_cast<std::uint16_t>(headers_.end - headers_.l4)))
          : sum_pseudo_header(packet_.data(), headers_);
  if (tcp) {
    sequence_ = TcpView(transport).sequence();
    flags_word_ = load16(transport + flags_word_at);
    transport_sum_ += sum_bytes({transport, 4}) + sum_bytes({transport + 8, 4}) +
                      sum_bytes({transport + 14, 2}) +
                      sum_bytes({transport + 18, headers_.l4_length - std::size_t{18}});
  } else {
    transport_sum_ += sum_bytes({transport, 4});
  }
  transport_sum_ = fold(transport_sum_);
  ip_sum_ = fold(ip_sum_);
}

void SegmentPlan::write_segment(std::size_t index, std::byte* out) const noexcept {
  const auto part = payload(index);
  std::memcpy(out, packet_.data(), header_length());
  finish_header(index, part.size(), copy_and_sum(out + header_length(), part), out);
  if (outer_ != 0)
    finish_vxlan_outer({out, header_length() + part.size()},
                       static_cast<std::uint16_t>(outer_id_ + index));
}

void SegmentPlan::write_header(std::size_t index, std::byte* out) const noexcept {
  const auto part = payload(index);
  const auto sum = sum_bytes(part);
  if (out != packet_.data()) std::memcpy(out, packet_.data(), header_length());
  finish_header(index, part.size(), sum, out);
}

std::span<std::byte> SegmentPlan::write_in_place(std::size_t index,
                                                 std::span<std::byte> packet) const noexcept {
  auto* out = packet.data() + index * segment_payload_;
  write_header(index, out);
  return {out, segment_size(index)};
}

// Every field that differs is written, none is read: so it does not matter that in place the
// super-packet's own header has become the first segment's.
void SegmentPlan::finish_header(std::size_t index, std::size_t payload_size, Sum payload,
                                std::byte* out) const noexcept {
  auto* transport = out + headers_.l4;
  const auto length = static_cast<std::uint16_t>(headers_.l4_length + payload_size);
  Sum sum = transport_sum_ + payload + sum_of(length);
  if (headers_.protocol == ip_protocol::tcp) {
    const auto sequence = sequence_ + static_cast<std::uint32_t>(index * segment_payload_);
    auto flags = flags_word_;
    if (index + 1 < count_) flags = static_cast<std::uint16_t>(flags & ~on_last_only);
    if (index > 0) flags = static_cast<std::uint16_t>(flags & ~on_first_only);
    const TcpEditor tcp(transport);
    tcp.set_sequence(sequence);
    store16(transport + flags_word_at, flags);
    tcp.set_checksum(finish(sum + sum_of(sequence) + sum_of(flags)));
  } else {
    const UdpEditor udp(transport);
    udp.set_length(length);
    udp.set_checksum(finish_udp(sum + sum_of(length)));
  }
  const auto ip_payload =
      static_cast<std::uint16_t>(headers_.length() - headers_.l3 + payload_size);
  if (headers_.ipv6) {
    Ipv6Editor(out + headers_.l3)
        .set_payload_length(static_cast<std::uint16_t>(ip_payload - Ipv6View::min_header_length));
  } else {
    const Ipv4Editor ip(out + headers_.l3);
    const auto id = static_cast<std::uint16_t>(id_ + index);
    ip.set_total_length(ip_payload);
    ip.set_id(id);
    ip.set_checksum(finish(ip_sum_ + sum_of(ip_payload) + sum_of(id)));
  }
}

std::size_t write_segments(const SegmentPlan& plan, std::size_t first, Pool& pool, Batch& out,
                           Counters& counters) noexcept {
  auto index = first;
  for (; index < plan.count() && !out.full(); ++index) {
    auto packet = pool.allocate();
    const bool fits = packet && plan.segment_size(index) <= packet.tailroom();
    if (!fits) {
      counters.drop(packet ? DropReason::too_big : DropReason::no_buffer, plan.count() - index);
      return plan.count();
    }
    packet.resize(plan.segment_size(index));
    plan.write_segment(index, packet.data());
    out.push(std::move(packet));
  }
  return index;
}

tl::expected<void, DropReason> complete_checksum(std::span<std::byte> packet,
                                                 OffloadHeader& offload, Medium medium) noexcept {
  if (offload.is_super_packet()) return tl::unexpected(DropReason::bad_offload);
  if (!offload.checksum_pending()) return {};
  const auto headers = parse_headers(packet, medium);
  if (const auto reason = check_offload(packet, offload, headers ? &*headers : nullptr)) {
    return tl::unexpected(*reason);
  }
  // The field holds the pseudo-header's sum, so that it is summed with the rest. As the kernel
  // does, 0 is never written, whatever the protocol: to all but UDP both zeros are the same.
  const auto end = headers ? headers->end : packet.size();
  if (std::size_t{offload.checksum_start} + offload.checksum_offset + 2 > end) {
    return tl::unexpected(DropReason::bad_offload);
  }
  auto* field = packet.data() + offload.checksum_start + offload.checksum_offset;
  store_raw(field, finish_udp(sum_bytes(packet.first(end).subspan(offload.checksum_start))));
  offload = {};
  return {};
}

}  // namespace warren::offload
