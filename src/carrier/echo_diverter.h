/// Takes the carried echo requests of some users away from the kernel, which would answer them.
///
/// Theory of operation. An nf_tables rule at the end of the input hook computes the tag of every
/// echo request and gives those with ours another type, one that the kernel ignores and that raw
/// sockets receive like any other. All other pings stay as they are, and the kernel answers them.
/// The firewall's own rules have seen an ordinary echo request.
///
/// nf_tables cannot add, but it repairs checksums, which is adding: writing 0 over the identifier
/// leaves checksum + identifier in the checksum field, and writing zeros over the addresses of an
/// IPv6 header leaves the tag.
///
///     save the identifier (IPv6: and the addresses)
///     write 0 over them        checksum field = tag
///     save the checksum field
///     write them back          the packet is as it was
///     saved checksum is one of our tags?   then set the type
///
/// What a packet ring has already, IP need not see. By a table of its own, a message that IP has to do
/// with puts its conversation into a set, and those that follow within five seconds are dropped on
/// arrival:
///
///     arrival (prerouting)   in the set?                  drop
///     input                  tag is one of ours?          into the set
///     divert (input)         tag is one of ours?          set the type
///     raw socket             what the ring has?           refuse (make_filter_beside_ring())
///
/// The one message in five seconds goes all its way, so that connection tracking knows of the
/// conversation and firewalls let its replies out. A bridge with br_netfilter calls the arrival hook
/// before its own device, and so the ring, has the packet: what comes from bridges is not dropped.
///
/// All messages of a conversation have the same checksum and identifier: their sequence number makes
/// up for what differs (icmp_codec.h).
///
/// Each table belongs to this process (linux/nft_transaction.h). So the ring can be given up at any
/// time, and without a privilege: its table goes with its socket.
#pragma once

#include <cstdint>
#include <span>

#include <warren/fd.h>
#include <warren/result.h>

#include "carrier/icmp_codec.h"
#include "carrier/ticket.h"
#include "wire/bytes.h"
#include "wire/icmp.h"

namespace warren::carrier {

/// The types of diverted echo requests. ICMP's 1 was never assigned, and the kernel discards it
/// without counting an error; ICMPv6's 200 is for private experiments (RFC 4443).
inline constexpr std::uint8_t diverted_type4 = 1;
inline constexpr std::uint8_t diverted_type6 = 200;
constexpr std::uint8_t diverted_type(bool ipv6) { return ipv6 ? diverted_type6 : diverted_type4; }
constexpr std::uint8_t request_type(bool ipv6) {
  return ipv6 ? wire::icmpv6_type::echo_request : wire::icmp_type::echo_request;
}
/// The type as the first word of a message, in network order.
constexpr std::uint16_t type_word(std::uint8_t type) {
  return wire::network(static_cast<std::uint16_t>(type << 8));
}

class EchoDiverter {
 public:
  /// In the network namespace of the calling thread, until the object dies. Needs CAP_NET_ADMIN
  /// now, and no privilege later.
  [[nodiscard]] static Result<EchoDiverter> create(std::span<const Tag> tags);
  /// As above, but keeps from IP what make_ring_filter() passes, except for a message of each
  /// conversation every five seconds.
  [[nodiscard]] static Result<EchoDiverter> drop_what_ring_has(IcmpDirection direction,
                                                               std::span<const Tag> tags);

 private:
  explicit EchoDiverter(Fd netlink) : netlink_(std::move(netlink)) {}
  Fd netlink_;  // the table lives as long as this socket
};

}  // namespace warren::carrier
