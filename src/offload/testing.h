/// For tests: super-packets, and the obvious way to cut them.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <span>
#include <vector>

#include <warren/offload_header.h>

#include "wire/testing.h"

namespace warren::offload {

struct SuperPacket {
  wire::testing::Bytes bytes;
  OffloadHeader offload;
  Medium medium = Medium::ip;
};

/// What the pieces are together.
inline wire::testing::Bytes flatten(std::span<const iovec> pieces) {
  wire::testing::Bytes out;
  for (const auto& piece : pieces) {
    const auto* data = static_cast<const std::byte*>(piece.iov_base);
    out.insert(out.end(), data, data + piece.iov_len);
  }
  return out;
}

/// The packets that a super-packet stands for, as descriptions to be built one by one.
inline std::vector<wire::testing::PacketSpec> obvious_segments(
    const wire::testing::PacketSpec& super, std::size_t mss) {
  std::vector<wire::testing::PacketSpec> out;
  auto empty = super;
  empty.payload.clear();
  std::size_t at = 0;
  do {
    auto part = empty;
    const auto size = std::min(mss, super.payload.size() - at);
    part.payload.assign(super.payload.begin() + static_cast<std::ptrdiff_t>(at),
                        super.payload.begin() + static_cast<std::ptrdiff_t>(at + size));
    part.id = static_cast<std::uint16_t>(super.id + out.size());
    part.sequence = super.sequence + static_cast<std::uint32_t>(at);
    const bool first = at == 0;
    const bool last = at + size == super.payload.size();
    if (!first) part.flags = static_cast<std::uint8_t>(part.flags & ~0x80);  // CWR
    if (!last) part.flags = static_cast<std::uint8_t>(part.flags & ~0x09);   // PSH, FIN
    out.push_back(std::move(part));
    at += size;
  } while (at < super.payload.size());
  return out;
}

/// What the kernel hands out: the packet, with the sum of the pseudo-header where the checksum
/// belongs if it is `pending`.
inline SuperPacket make_super_packet(const wire::testing::PacketSpec& spec, std::uint16_t mss,
                                     bool pending) {
  namespace t = wire::testing;
  SuperPacket out{t::build(spec), {}, spec.medium};
  out.offload.gso_size = mss;
  out.offload.gso_type = !spec.tcp   ? OffloadHeader::gso_udp
                         : spec.ipv6 ? OffloadHeader::gso_tcp6
                                     : OffloadHeader::gso_tcp4;
  if (spec.tcp && (spec.flags & 0x80) != 0) out.offload.gso_type |= OffloadHeader::gso_ecn;
  if (!pending) return out;
  out.offload.flags = OffloadHeader::needs_checksum;
  out.offload.checksum_start = static_cast<std::uint16_t>(spec.l4());
  out.offload.checksum_offset = spec.tcp ? 16 : 6;
  t::Bytes pseudo = t::address(spec, spec.source_host);
  t::put(pseudo, t::address(spec, spec.destination_host));
  t::put(pseudo, out.bytes.size() - spec.l4(), 4);
  t::put(pseudo, spec.tcp ? 6 : 17, 4);
  t::Bytes field;
  t::put(field, static_cast<std::uint16_t>(~t::obvious_checksum(pseudo)), 2);
  const auto at = spec.l4() + out.offload.checksum_offset;
  out.bytes[at] = field[0];
  out.bytes[at + 1] = field[1];
  return out;
}

}  // namespace warren::offload
