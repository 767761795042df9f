/// ICMP and ICMPv6 messages (RFC 792, RFC 4443): the same first eight bytes.
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

namespace icmp_type {
inline constexpr std::uint8_t echo_reply = 0;
inline constexpr std::uint8_t unreachable = 3;
inline constexpr std::uint8_t echo_request = 8;
inline constexpr std::uint8_t time_exceeded = 11;
}  // namespace icmp_type

namespace icmpv6_type {
inline constexpr std::uint8_t unreachable = 1;
inline constexpr std::uint8_t packet_too_big = 2;
inline constexpr std::uint8_t time_exceeded = 3;
inline constexpr std::uint8_t echo_request = 128;
inline constexpr std::uint8_t echo_reply = 129;
}  // namespace icmpv6_type

template <AnyByte Byte>
class Icmp {
 public:
  static constexpr std::size_t header_length = 8;
  static constexpr std::uint16_t checksum_at = 2;

  /// Nothing where `bytes`, the payload of the IP packet, ends within the header.
  [[nodiscard]] static std::optional<Icmp> parse(std::span<Byte> bytes) noexcept {
    if (bytes.size() < header_length) return std::nullopt;
    return Icmp(bytes);
  }

  [[nodiscard]] std::uint8_t type() const noexcept { return load8(bytes_.data()); }
  [[nodiscard]] std::uint8_t code() const noexcept { return load8(bytes_.data() + 1); }
  /// In memory order.
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_raw<std::uint16_t>(bytes_.data() + checksum_at);
  }
  /// Of echo messages.
  [[nodiscard]] std::uint16_t identifier() const noexcept { return load16(bytes_.data() + 4); }
  [[nodiscard]] std::uint16_t sequence() const noexcept { return load16(bytes_.data() + 6); }
  /// The echoed data; of errors, the packet that they complain about.
  [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(header_length); }

  void set_type(std::uint8_t value) const noexcept
    requires WritableByte<Byte>
  {
    store8(bytes_.data(), value);
  }
  void set_identifier(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(bytes_.data() + 4, value);
  }
  /// In memory order, as wire::finish() returns it.
  void set_checksum(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store_raw(bytes_.data() + checksum_at, value);
  }

 private:
  explicit Icmp(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

  std::span<Byte> bytes_;
};

using IcmpView = Icmp<const std::byte>;
using IcmpEditor = Icmp<std::byte>;

}  // namespace warren::wire
