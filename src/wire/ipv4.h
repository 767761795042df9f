/// IPv4 headers (RFC 791).
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

namespace ip_protocol {
inline constexpr std::uint8_t icmp = 1;
inline constexpr std::uint8_t tcp = 6;
inline constexpr std::uint8_t udp = 17;
inline constexpr std::uint8_t icmpv6 = 58;
}  // namespace ip_protocol

template <AnyByte Byte>
class Ipv4 {
 public:
  static constexpr std::size_t min_header_length = 20;
  static constexpr std::uint16_t total_length_at = 2;
  static constexpr std::uint16_t fragment_word_at = 6;
  static constexpr std::uint16_t protocol_at = 9;
  static constexpr std::uint16_t source_at = 12;
  static constexpr std::uint16_t destination_at = 16;
  static constexpr std::uint16_t dont_fragment = 0x4000;   ///< in fragment_word()
  static constexpr std::uint16_t more_fragments = 0x2000;  ///< in fragment_word()
  static constexpr std::uint16_t offset_mask = 0x1fff;     ///< in fragment_word(), units of 8 bytes

  /// Nothing where the header or the packet is longer than `bytes`; what follows the packet is no
  /// part of it (Ethernet pads short frames).
  [[nodiscard]] static std::optional<Ipv4> parse(std::span<Byte> bytes) noexcept {
    std::optional<Ipv4> header;
    if (bytes.size() >= min_header_length) header.emplace(bytes.data());
    if (header && !header->fits(bytes.size())) header.reset();
    return header;
  }
  /// For headers that parse() accepted before.
  explicit Ipv4(Byte* header) noexcept : p_(header) {}

  [[nodiscard]] std::size_t header_length() const noexcept {
    return std::size_t{load8(p_) & 15U} * 4;
  }
  [[nodiscard]] std::uint8_t tos() const noexcept { return load8(p_ + 1); }
  [[nodiscard]] std::uint16_t total_length() const noexcept { return load16(p_ + total_length_at); }
  [[nodiscard]] std::uint16_t id() const noexcept { return load16(p_ + 4); }
  [[nodiscard]] std::uint16_t fragment_word() const noexcept {
    return load16(p_ + fragment_word_at);
  }
  [[nodiscard]] bool is_fragment() const noexcept {
    return (fragment_word() & (more_fragments | offset_mask)) != 0;
  }
  [[nodiscard]] std::uint16_t fragment_offset() const noexcept {
    return static_cast<std::uint16_t>((fragment_word() & offset_mask) * 8);
  }
  [[nodiscard]] std::uint8_t ttl() const noexcept { return load8(p_ + 8); }
  [[nodiscard]] std::uint8_t protocol() const noexcept { return load8(p_ + protocol_at); }
  [[nodiscard]] std::uint16_t checksum() const noexcept { return load_raw<std::uint16_t>(p_ + 10); }
  [[nodiscard]] std::span<Byte, 4> source() const noexcept {
    return std::span<Byte, 4>(p_ + source_at, 4);
  }
  [[nodiscard]] std::span<Byte, 4> destination() const noexcept {
    return std::span<Byte, 4>(p_ + destination_at, 4);
  }
  [[nodiscard]] std::span<Byte> header() const noexcept { return {p_, header_length()}; }
  [[nodiscard]] std::span<Byte> options() const noexcept {
    return header().subspan(min_header_length);
  }
  [[nodiscard]] std::span<Byte> payload() const noexcept {
    return {p_ + header_length(), total_length() - header_length()};
  }

  void set_total_length(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + total_length_at, value);
  }
  void set_id(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + 4, value);
  }
  void set_ttl(std::uint8_t value) const noexcept
    requires WritableByte<Byte>
  {
    store8(p_ + 8, value);
  }
  /// In memory order, as wire::finish() returns it.
  void set_checksum(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store_raw(p_ + 10, value);
  }

 private:
  [[nodiscard]] bool fits(std::size_t size) const noexcept {
    return load8(p_) >> 4 == 4 && header_length() >= min_header_length &&
           total_length() >= header_length() && total_length() <= size;
  }

  Byte* p_;
};

using Ipv4View = Ipv4<const std::byte>;
using Ipv4Editor = Ipv4<std::byte>;

}  // namespace warren::wire
