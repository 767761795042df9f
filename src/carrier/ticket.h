/// What a client needs to know of a server, in one line that people paste and scripts store:
///
///     warren-icmp:alice@203.0.113.7:51820/3fa2
///     warren-icmp:alice@[2001:db8::7]:51820/3fa2
///     warren-icmp:vpn.example.org:51820/uid7        profile tutu, which has user ids instead of tags
///
/// A ticket is no secret and proves nothing: a tag names a user, and what runs inside the carrier
/// authenticates. Everything in it can stand unquoted in a shell (IPv6 brackets too, as far as no
/// file is so called). Plain values; no I/O but read_ticket()'s.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren::carrier {

/// How a flow looks on the wire.
enum class Profile : std::uint8_t {
  warren,  ///< checksum + identifier is the tag
  tutu,    ///< the ICMP code is the user id
};

/// Which user of a server a packet belongs to.
struct Tag {
  std::uint16_t value = 0;
  Profile profile = Profile::warren;

  /// "3fa2", "0x3fa2" or "uid7". 0 and ffff are refused: the sum that carries them is ambiguous.
  [[nodiscard]] static Result<Tag> parse(std::string_view text);
  /// "3fa2" or "uid7".
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const Tag&, const Tag&) = default;
};

/// A host, by name or address, and a UDP port.
struct Endpoint {
  std::string host;  ///< an IPv6 address without brackets
  std::uint16_t port = 0;

  /// "HOST:PORT", with an IPv6 address in brackets.
  [[nodiscard]] static Result<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct Ticket {
  std::string user;  ///< empty where the server did not name one
  Endpoint server;
  Tag tag;

  [[nodiscard]] static Result<Ticket> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Ticket&, const Ticket&) = default;
};

/// The ticket that `text` is or, where it is not one, that stands in the file `text`: on the first
/// line that is neither empty nor a comment (#).
[[nodiscard]] Result<Ticket> read_ticket(const std::string& text);

/// Names of users: 1 to 31 letters, digits, and . _ - after the first.
[[nodiscard]] Result<std::string> parse_user(std::string_view text);

/// A decimal number from 1 to 65535.
[[nodiscard]] Result<std::uint16_t> parse_port(std::string_view text);

}  // namespace warren::carrier
