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
/// The table belongs to this process ("flags owner", kernel 5.13): nobody else changes it, `nft flush
/// ruleset` leaves it alone, and the kernel removes it when the process ends, however it ends.
///
/// What a packet ring has already is dropped, by a table of its own, just before. So the ring can be
/// given up at any time, and without a privilege: its table goes with its socket.
#pragma once

#include <cstdint>
#include <span>

#include <warren/fd.h>
#include <warren/result.h>

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
  /// As above, but drops what make_ring_filter() passes.
  [[nodiscard]] static Result<EchoDiverter> drop_what_ring_has(std::span<const Tag> tags);

 private:
  explicit EchoDiverter(Fd netlink) : netlink_(std::move(netlink)) {}
  Fd netlink_;  // the table lives as long as this socket
};

}  // namespace warren::carrier
