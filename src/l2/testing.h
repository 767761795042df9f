/// For tests: Ethernet frames, and a graph of a switch and memory.
#pragma once

#include <cstring>
#include <string>

#include <warren/packet.h>

#include "l2/mac_table.h"
#include "wire/testing.h"

namespace warren::l2::testing {

using wire::testing::Bytes;

/// An Ethernet frame of an unknown protocol.
inline Bytes make_frame(std::uint64_t to, std::uint64_t from, std::string_view text) {
  Bytes out;
  wire::testing::put(out, to, 6);
  wire::testing::put(out, from, 6);
  wire::testing::put(out, 0x88b5, 2);  // for local experiments (IEEE 802)
  for (const auto c : text) out.push_back(static_cast<std::byte>(c));
  return out;
}

inline Packet make_packet(Pool& pool, const Bytes& bytes) {
  auto packet = pool.allocate();
  if (!packet) return packet;
  packet.resize(bytes.size());
  if (!bytes.empty()) std::memcpy(packet.data(), bytes.data(), bytes.size());
  return packet;
}

inline Bytes bytes_of(const Packet& packet) {
  return {packet.bytes().begin(), packet.bytes().end()};
}

}  // namespace warren::l2::testing
