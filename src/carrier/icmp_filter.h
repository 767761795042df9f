/// Classic BPF for raw ICMP sockets: only the echo messages of some users wake the program.
///
/// The programs compute the tag as the codec does (icmp_codec.h), with remainders: a sum of 16-bit
/// words in ones'-complement arithmetic is the plain sum modulo 0xffff.
#pragma once

#include <cstdint>
#include <span>

#include "carrier/ticket.h"
#include "io/packet_ring.h"
#include "io/socket_filter.h"
#include "wire/ipv4.h"

namespace warren::carrier {

/// For messages of this ICMP `type`. `tags` are those of the bytes as they arrive, 1500 at most.
[[nodiscard]] SocketFilter make_icmp_filter(bool ipv6, std::uint8_t type,
                                            std::span<const Tag> tags);

/// Which IPv4 messages a ring takes (io/packet_ring.h), so that raw sockets need not: those that fit
/// and may not be fragmented, and so never were.
inline constexpr std::uint16_t ring_fragment_word = wire::Ipv4View::dont_fragment;  ///< alone
inline constexpr std::uint16_t ring_max_length{PacketRing::max_packet};  ///< of the IP packet

/// For a ring of IPv4 packets: messages as above that arrived for this machine's link address.
[[nodiscard]] SocketFilter make_ring_filter(std::uint8_t type, std::span<const Tag> tags);
/// For a raw IPv4 socket beside such a ring: the others.
[[nodiscard]] SocketFilter make_filter_beside_ring(std::uint8_t type, std::span<const Tag> tags);

}  // namespace warren::carrier
