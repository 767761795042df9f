/// For tests: packets described by their fields, and built byte by byte in the most obvious way.
/// None of the code that is tested is used here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "core/port.h"

namespace warren::wire::testing {

using Bytes = std::vector<std::byte>;

struct PacketSpec {
  Medium medium = Medium::ip;
  unsigned vlan_tags = 0;
  bool ipv6 = false;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  std::uint16_t id = 1;
  bool dont_fragment = true;
  std::uint32_t flow_label = 0;
  std::uint32_t source_host = 1;
  std::uint32_t destination_host = 2;
  Bytes ip_options;  ///< a multiple of 4
  /// IPv6 extension headers: the first one's number, and bytes that end with the transport's
  /// number.
  std::uint8_t first_extension = 0;
  Bytes extensions;
  bool tcp = true;
  std::uint16_t source_port = 1000;
  std::uint16_t destination_port = 2000;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  std::uint8_t flags = 0x10;
  std::uint16_t window = 512;
  Bytes tcp_options;  ///< a multiple of 4
  Bytes payload;
  bool udp_checksum = true;

  [[nodiscard]] std::size_t l4() const {
    const std::size_t l3 = medium == Medium::ethernet ? 14 + 4 * vlan_tags : 0;
    return l3 + (ipv6 ? 40 + extensions.size() : 20 + ip_options.size());
  }
  [[nodiscard]] std::size_t header_length() const {
    return l4() + (tcp ? 20 + tcp_options.size() : 8);
  }
};

inline void put(Bytes& out, std::uint64_t value, unsigned bytes) {
  while (bytes-- > 0) out.push_back(static_cast<std::byte>(value >> (8 * bytes)));
}
inline void put(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

inline std::uint16_t obvious_checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = std::to_integer<std::uint32_t>(bytes[i]);
    sum += i % 2 == 0 ? byte << 8 : byte;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

inline Bytes address(const PacketSpec& spec, std::uint32_t host) {
  Bytes out;
  if (spec.ipv6) {
    put(out, 0xfd00'0000'0000'0001U, 8);
    put(out, host, 8);
  } else {
    put(out, 0x0a000000U + host, 4);
  }
  return out;
}

inline Bytes build_transport(const PacketSpec& spec) {
  const std::size_t length = (spec.tcp ? 20 + spec.tcp_options.size() : 8) + spec.payload.size();
  const auto header = [&](std::uint16_t checksum) {
    Bytes out;
    put(out, spec.source_port, 2);
    put(out, spec.destination_port, 2);
    if (spec.tcp) {
      put(out, spec.sequence, 4);
      put(out, spec.acknowledgment, 4);
      put(out, (5 + spec.tcp_options.size() / 4) << 4, 1);
      put(out, spec.flags, 1);
      put(out, spec.window, 2);
      put(out, checksum, 2);
      put(out, (spec.flags & 0x20) != 0 ? 7 : 0, 2);
      put(out, spec.tcp_options);
    } else {
      put(out, length, 2);
      put(out, checksum, 2);
    }
    put(out, spec.payload);
    return out;
  };
  if (!spec.tcp && !spec.udp_checksum) return header(0);
  Bytes summed = address(spec, spec.source_host);
  put(summed, address(spec, spec.destination_host));
  put(summed, length, 4);
  put(summed, spec.tcp ? 6 : 17, 4);
  put(summed, header(0));
  const auto checksum = obvious_checksum(summed);
  return header(!spec.tcp && checksum == 0 ? 0xffff : checksum);
}

inline Bytes build_ip_header(const PacketSpec& spec, std::size_t transport_size) {
  Bytes out;
  if (spec.ipv6) {
    put(out, std::uint64_t{6} << 28 | std::uint64_t{spec.tos} << 20 | spec.flow_label, 4);
    put(out, spec.extensions.size() + transport_size, 2);
    put(out, !spec.extensions.empty() ? spec.first_extension : spec.tcp ? 6 : 17, 1);
    put(out, spec.ttl, 1);
    put(out, address(spec, spec.source_host));
    put(out, address(spec, spec.destination_host));
    put(out, spec.extensions);
    return out;
  }
  put(out, 0x40 + 5 + spec.ip_options.size() / 4, 1);
  put(out, spec.tos, 1);
  put(out, 20 + spec.ip_options.size() + transport_size, 2);
  put(out, spec.id, 2);
  put(out, spec.dont_fragment ? 0x4000 : 0, 2);
  put(out, spec.ttl, 1);
  put(out, spec.tcp ? 6 : 17, 1);
  put(out, 0, 2);
  put(out, address(spec, spec.source_host));
  put(out, address(spec, spec.destination_host));
  put(out, spec.ip_options);
  Bytes checksum;
  put(checksum, obvious_checksum(out), 2);
  out[10] = checksum[0];
  out[11] = checksum[1];
  return out;
}

/// The packet with all its checksums.
inline Bytes build(const PacketSpec& spec) {
  Bytes out;
  if (spec.medium == Medium::ethernet) {
    put(out, 0x0200'0000'0002U, 6);
    put(out, 0x0200'0000'0001U, 6);
    for (unsigned i = 0; i < spec.vlan_tags; ++i) put(out, 0x8100'0005U + i, 4);
    put(out, spec.ipv6 ? 0x86dd : 0x0800, 2);
  }
  const auto transport = build_transport(spec);
  put(out, build_ip_header(spec, transport.size()));
  put(out, transport);
  return out;
}

using Random = std::mt19937_64;

inline Bytes random_bytes(Random& random, std::size_t size) {
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

/// Up to three of hop-by-hop, routing and destination options, which all have the same shape.
inline void add_random_extensions(Random& random, PacketSpec& spec) {
  const std::uint8_t numbers[] = {0, 43, 60};
  std::vector<std::uint8_t> chain;
  for (const auto number : numbers) {
    if (random() % 3 == 0) chain.push_back(number);
  }
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const auto units = random() % 3;
    put(spec.extensions, i + 1 < chain.size() ? chain[i + 1] : spec.tcp ? 6 : 17, 1);
    put(spec.extensions, units, 1);
    auto rest = random_bytes(random, 6 + 8 * units);
    if (chain[i] == 43)
      rest[1] = std::byte{0};  // no segments left: the destination is the last one
    put(spec.extensions, rest);
  }
  if (!chain.empty()) spec.first_extension = chain[0];
}

/// Any legal packet without payload.
inline PacketSpec random_spec(Random& random) {
  PacketSpec spec;
  spec.medium = random() % 3 == 0 ? Medium::ethernet : Medium::ip;
  spec.vlan_tags = static_cast<unsigned>(random() % 3);
  spec.ipv6 = random() % 2 == 0;
  spec.tcp = random() % 3 != 0;
  spec.tos = static_cast<std::uint8_t>(random());
  spec.ttl = static_cast<std::uint8_t>(random());
  spec.id = static_cast<std::uint16_t>(random());
  spec.dont_fragment = random() % 2 == 0;
  spec.flow_label = static_cast<std::uint32_t>(random() & 0xfffff);
  spec.source_host = static_cast<std::uint32_t>(random() & 0xffffff);
  spec.destination_host = static_cast<std::uint32_t>(random() & 0xffffff);
  if (!spec.ipv6 && random() % 3 == 0) spec.ip_options = random_bytes(random, 4 * (random() % 11));
  if (spec.ipv6 && random() % 2 == 0) add_random_extensions(random, spec);
  spec.source_port = static_cast<std::uint16_t>(random());
  spec.destination_port = static_cast<std::uint16_t>(random());
  spec.sequence = static_cast<std::uint32_t>(random());
  spec.acknowledgment = static_cast<std::uint32_t>(random());
  spec.flags = static_cast<std::uint8_t>(random());
  spec.window = static_cast<std::uint16_t>(random());
  if (random() % 2 == 0) spec.tcp_options = random_bytes(random, 4 * (random() % 11));
  return spec;
}

}  // namespace warren::wire::testing
