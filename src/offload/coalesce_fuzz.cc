// Coalescing of any packets. The input is a list of (length, offload flags, bytes); a packet may
// also be a copy of the one before, with sequence, id and checksums made to follow, so that merging
// is reached. No byte may appear or vanish, and what was merged must segment into the packets that
// went in.
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "core/fuzzing.h"
#include "offload/coalesce.h"
#include "offload/segment.h"
#include "offload/testing.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace {

using namespace warren;  // NOLINT
using Bytes = std::vector<std::byte>;

// The packet made to come right behind `before`, and its checksums right.
Bytes follow(Bytes packet, bool advance, Medium medium) {
  const auto headers = wire::parse_headers(packet, medium);
  if (!headers || headers->l4_length == 0) return packet;
  auto* ip = packet.data() + headers->l3;
  auto* transport = packet.data() + headers->l4;
  const auto all = std::span(packet).subspan(headers->l4, headers->end - headers->l4);
  const auto length = static_cast<std::uint16_t>(all.size());
  if (!headers->ipv6) {
    const wire::Ipv4Editor view(ip);
    if (advance) view.set_id(static_cast<std::uint16_t>(view.id() + 1));
    view.set_checksum(0);
    view.set_checksum(wire::finish(wire::sum_bytes(view.header())));
  }
  const auto pseudo = headers->ipv6 ? wire::sum_pseudo_header6(ip + 8, headers->protocol, length)
                                    : wire::sum_pseudo_header4(ip + 12, headers->protocol, length);
  if (headers->protocol == wire::ip_protocol::tcp) {
    const wire::TcpEditor tcp(transport);
    if (advance) tcp.set_sequence(tcp.sequence() + headers->payload_length());
    tcp.set_checksum(0);
    tcp.set_checksum(wire::finish(pseudo + wire::sum_bytes(all)));
  } else if (headers->protocol == wire::ip_protocol::udp) {
    const wire::UdpEditor udp(transport);
    udp.set_checksum(0);
    udp.set_checksum(wire::finish_udp(pseudo + wire::sum_bytes(all)));
  }
  return packet;
}

struct Input {
  Bytes bytes;
  OffloadHeader offload;
};

std::vector<Input> read_packets(std::span<const std::byte> data, Medium medium) {
  std::vector<Input> packets;
  while (data.size() >= 4 && packets.size() < offload::Coalescer::max_packets) {
    const auto kind = std::to_integer<unsigned>(data[0]);
    const auto size = std::min<std::size_t>(wire::load16(data.data() + 2) % 2048, data.size() - 4);
    Input input;
    input.offload.flags = std::to_integer<std::uint8_t>(data[1]) & 3;
    if (kind % 2 == 0 && !packets.empty()) {
      input.bytes = follow(packets.back().bytes, true, medium);
      data = data.subspan(4);
    } else {
      input.bytes.assign(data.begin() + 4, data.begin() + 4 + static_cast<std::ptrdiff_t>(size));
      if (kind % 4 == 1) input.bytes = follow(std::move(input.bytes), false, medium);
      data = data.subspan(4 + size);
    }
    packets.push_back(std::move(input));
  }
  return packets;
}

// With DF the id may be fixed, which an OffloadHeader cannot say; IPv4 checksums follow it.
Bytes without_id(Bytes packet, Medium medium) {
  const auto headers = wire::parse_headers(packet, medium);
  if (headers && !headers->ipv6) {
    const wire::Ipv4Editor ip(packet.data() + headers->l3);
    ip.set_id(0);
    ip.set_checksum(0);
  }
  // Both zeros of a TCP checksum mean the same.
  if (headers && headers->protocol == wire::ip_protocol::tcp && headers->l4_length != 0) {
    const wire::TcpEditor tcp(packet.data() + headers->l4);
    if (tcp.checksum() == 0xffff) tcp.set_checksum(0);
  }
  return packet;
}

void check_items(std::span<const offload::CoalescedPacket> items, const std::vector<Input>& packets,
                 Medium medium) {
  std::multimap<Bytes, bool> expected;
  for (const auto& packet : packets) expected.emplace(without_id(packet.bytes, medium), true);
  const auto take = [&](const Bytes& bytes) {
    const auto found = expected.find(without_id(bytes, medium));
    require(found != expected.end());
    expected.erase(found);
  };
  for (const auto& item : items) {
    const auto bytes = offload::flatten(item.pieces());
    require(bytes.size() == item.size);
    if (item.packets == 1) {
      take(bytes);
      continue;
    }
    const auto plan = offload::SegmentPlan::make(bytes, item.offload, medium);
    require(plan && plan->count() == item.packets);
    for (std::size_t i = 0; i < plan->count(); ++i) {
      Bytes segment(plan->segment_size(i));
      plan->write_segment(i, segment.data());
      take(segment);
    }
  }
  require(expected.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  offload::CoalesceOptions options;
  options.medium = (data[0] & 1) != 0 ? Medium::ethernet : Medium::ip;
  options.trust_checksums = (data[0] & 2) != 0;
  auto packets = read_packets(std::as_bytes(std::span(data, size)).subspan(1), options.medium);
  // Believed without a check, a wrong checksum is made right: then the packets differ, as they
  // should.
  if (options.trust_checksums) {
    for (auto& packet : packets)
      packet.bytes = follow(std::move(packet.bytes), false, options.medium);
  }
  const auto coalescer = std::make_unique<offload::Coalescer>(options);
  for (const auto& packet : packets) require(coalescer->add(packet.bytes, packet.offload));
  check_items(coalescer->finish(), packets, options.medium);
  return 0;
}
