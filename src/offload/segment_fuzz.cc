// Segmentation of any bytes under any offload header. Whatever is accepted must come out as packets
// that parse, whose checksums are right and whose payloads add up; the ways to write it must agree.
#include <cstring>
#include <vector>

#include "core/fuzzing.h"
#include "offload/segment.h"
#include "wire/ipv4.h"
#include "wire/vxlan_outer.h"

namespace {

using namespace warren;  // NOLINT
using Bytes = std::vector<std::byte>;

void check_segment(const Bytes& segment, std::size_t header_length, Medium medium) {
  const auto headers = wire::parse_headers(segment, medium);
  require(headers && headers->length() == header_length && headers->end == segment.size());
  const auto* ip = segment.data() + headers->l3;
  if (headers->ipv6) return;
  require(wire::is_valid(wire::sum_bytes(wire::Ipv4View(ip).header())));
}

// Only where the pseudo-header is not the input's.
void check_transport(const Bytes& segment, Medium medium) {
  const auto headers = *wire::parse_headers(segment, medium);
  const auto* ip = segment.data() + headers.l3;
  const auto transport = std::span(segment).subspan(headers.l4);
  const auto length = static_cast<std::uint16_t>(transport.size());
  const auto pseudo = headers.ipv6 ? wire::sum_pseudo_header6(ip + 8, headers.protocol, length)
                                   : wire::sum_pseudo_header4(ip + 12, headers.protocol, length);
  require(wire::is_valid(pseudo + wire::sum_bytes(transport)));
}

// Each segment is a whole message with a whole frame.
void check_tunnelled(const Bytes& packet, const OffloadHeader& offload,
                     const offload::SegmentPlan& plan) {
  const auto outer = wire::find_vxlan_outer(packet);
  require(outer.has_value());
  const auto frame = wire::parse_headers(std::span(packet).subspan(*outer), Medium::ethernet);
  std::size_t total = plan.header_length();
  for (std::size_t i = 0; i < plan.count(); ++i) {
    Bytes bytes(plan.segment_size(i));
    plan.write_segment(i, bytes.data());
    const auto message = wire::unwrap_vxlan(bytes);
    require(message && message->bytes.size() == bytes.size() - *outer + 8);
    const Bytes inner(message->bytes.begin() + 8, message->bytes.end());
    check_segment(inner, plan.header_length() - *outer, Medium::ethernet);
    if (!offload.checksum_pending()) check_transport(inner, Medium::ethernet);
    total += bytes.size() - plan.header_length();
  }
  require(frame && total == *outer + frame->end && !plan.fits_in_place());
}

void segment(Bytes packet, const OffloadHeader& offload, Medium medium) {
  const auto plan = offload::SegmentPlan::make(packet, offload, medium);
  if (!plan) return;
  if (offload.is_tunnelled()) return check_tunnelled(packet, offload, *plan);
  const auto size = plan->header_length();
  require(plan->count() > 0);
  std::vector<Bytes> segments;
  std::size_t total = size;
  for (std::size_t i = 0; i < plan->count(); ++i) {
    Bytes bytes(plan->segment_size(i));
    plan->write_segment(i, bytes.data());
    check_segment(bytes, size, medium);
    if (!offload.checksum_pending()) check_transport(bytes, medium);
    Bytes header(size);
    plan->write_header(i, header.data());
    require(std::memcmp(header.data(), bytes.data(), size) == 0);
    total += bytes.size() - size;
    segments.push_back(std::move(bytes));
  }
  require(total == wire::parse_headers(packet, medium)->end);
  if (!plan->fits_in_place()) return;
  for (std::size_t i = 0; i < plan->count(); ++i) {
    const auto in_place = plan->write_in_place(i, packet);
    require(Bytes(in_place.begin(), in_place.end()) == segments[i]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 + sizeof(OffloadHeader)) return 0;
  const auto medium = (data[0] & 1) != 0 ? Medium::ethernet : Medium::ip;
  OffloadHeader offload;
  std::memcpy(&offload, data + 1, sizeof offload);
  const auto rest = std::as_bytes(std::span(data, size)).subspan(1 + sizeof offload);
  const Bytes packet(rest.begin(), rest.end());
  segment(packet, offload, medium);
  auto summed = packet;
  auto pending = offload;
  if (offload::complete_checksum(summed, pending, medium)) require(pending.complete());
  return 0;
}
