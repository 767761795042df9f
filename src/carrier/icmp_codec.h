/// UDP datagrams as ICMP echo messages and back: the wire format of the ICMP carrier.
///
/// Theory of operation. An echo header takes the place of the UDP header; both have eight bytes, and
/// the payload is not touched.
///
///        0              2              4              6              8
///        +--------------+--------------+--------------+--------------+---------
///   UDP  | source port  | dest. port   | length       | checksum     | payload
///        +--------------+--------------+--------------+--------------+---------
///   ICMP | type  | code | checksum     | identifier   | sequence     | payload
///        +--------------+--------------+--------------+--------------+---------
///
/// Profile `warren`: the identifier is the client's UDP port, and the checksum is chosen so that
///
///     checksum + identifier [+ source + destination address, with IPv6] = tag
///
/// in ones'-complement arithmetic. The tag names the user. What makes the message verify is the
/// sequence ("balance"): any 16-bit word can do that. A NAT that rewrites identifier and addresses
/// repairs the checksum, so the sum of them, the tag, arrives as it left; so does the sequence.
///
/// Profile `tutu`, for peers that run tutuicmptunnel: the code is the user's id (0 to 255), the
/// sequence is the client's UDP port and is sent back in replies, and the checksum is an ordinary
/// one.
///
/// In both, the sum over the payload follows from a correct UDP checksum, and the other way round:
/// converting costs the same for every length. A payload that was damaged on its way becomes a
/// datagram with a wrong checksum, which the receiver drops.
///
/// Nothing here owns a descriptor, clock or memory; all functions are pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "carrier/ticket.h"
#include "wire/checksum.h"

namespace warren::carrier {

/// Who talks: the client asks, the server replies.
enum class IcmpDirection : std::uint8_t { request, reply };

inline constexpr std::size_t echo_header_length = 8;

// Bare ICMP messages, as raw sockets send and receive them.

/// What a checksum counts of the IP header.
struct EchoPath {
  bool ipv6 = false;
  /// 0 with IPv4. With IPv6 wire::sum_bytes() of source and destination; where the kernel completes the checksum (on
  /// raw ICMPv6 sockets it always does), 0 will do: it arrives at the value that belongs there.
  wire::Sum addresses = 0;
};

/// The fields of an echo header that say something.
struct EchoFields {
  IcmpDirection direction = IcmpDirection::request;
  std::uint8_t code = 0;
  std::uint16_t tag = 0;  ///< as the profile `warren` reads it; of an ordinary ping it is anything
  std::uint16_t identifier = 0;
  std::uint16_t sequence = 0;

  /// Whether the message claims to be `tag`'s. Of 2^16 ordinary pings one does.
  [[nodiscard]] bool belongs_to(Tag user) const noexcept {
    return user.profile == Profile::warren ? code == 0 && tag == user.value : code == user.value;
  }
  /// The client's UDP port, as this side is to see it.
  [[nodiscard]] std::uint16_t client_port(Profile profile) const noexcept {
    return profile == Profile::tutu && direction == IcmpDirection::reply ? sequence : identifier;
  }
};

/// Writes the eight bytes of the header of a message with `payload_length` bytes whose sum is
/// `payload_sum`. Of `fields`, `direction` and `identifier` are used, and `sequence` with `tutu`.
void write_echo_header(std::byte* header, const EchoFields& fields, Tag user, EchoPath path,
                       std::size_t payload_length, wire::Sum payload_sum) noexcept;

/// Nothing where `message` is no echo message, or shorter than its header.
[[nodiscard]] std::optional<EchoFields> read_echo_header(std::span<const std::byte> message,
                                                         EchoPath path) noexcept;

/// Whether the checksum is right, from header to end.
[[nodiscard]] bool verify_echo(std::span<const std::byte> message, EchoPath path) noexcept;

/// The first message of a WireGuard handshake: 148 bytes that begin with 1, 0, 0, 0.
[[nodiscard]] bool is_wireguard_initiation(std::span<const std::byte> payload) noexcept;

// Whole IP packets: IPv4 with options, IPv6 with extension headers. What follows the packet by its
// own length is left alone.

enum class CodecStatus : std::uint8_t {
  done,
  other,      ///< not UDP (carry), not an echo message of this user (restore): unchanged
  fragment,   ///< of an IP packet: unchanged
  malformed,  ///< lengths that do not agree, or headers that must not change: unchanged
};

struct CarryOptions {
  /// False for a datagram whose checksum field holds something else, as with pending checksum
  /// offload: the payload is summed. So it is where a datagram says that it has none.
  bool checksum_known = true;
  /// With `tutu`, what the request had in its sequence; a request carries the client's port there.
  std::optional<std::uint16_t> reply_sequence{};
};

/// UDP to ICMP, in place. The identifier is the client's port: the source port of a request, the
/// destination port of a reply.
[[nodiscard]] CodecStatus carry_packet(std::span<std::byte> packet, IcmpDirection direction,
                                       Tag user, CarryOptions options = {}) noexcept;

/// ICMP to UDP, in place, with a checksum that is right where the message's was. The direction is
/// that of the message; `server_port` is the port that is carried.
[[nodiscard]] CodecStatus restore_packet(std::span<std::byte> packet, IcmpDirection direction,
                                         Tag user, std::uint16_t server_port) noexcept;

/// What the echo header of `packet` says. Nothing where it is a fragment or has none.
[[nodiscard]] std::optional<EchoFields> read_packet(std::span<const std::byte> packet) noexcept;

}  // namespace warren::carrier
