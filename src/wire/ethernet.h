/// Ethernet II frames, with or without 802.1Q tags.
///
///     | destination 6 | source 6 | (tag 8100 or 88a8: 4)* | type 2 | payload …
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

namespace ether_type {
inline constexpr std::uint16_t ipv4 = 0x0800;
inline constexpr std::uint16_t arp = 0x0806;
inline constexpr std::uint16_t vlan = 0x8100;
inline constexpr std::uint16_t ipv6 = 0x86dd;
inline constexpr std::uint16_t provider_vlan = 0x88a8;
}  // namespace ether_type

template <AnyByte Byte>
class Ethernet {
 public:
  static constexpr std::size_t min_header_length = 14;
  static constexpr std::size_t max_tags = 2;

  /// Nothing where the frame ends within its header.
  [[nodiscard]] static std::optional<Ethernet> parse(std::span<Byte> frame) noexcept {
    std::size_t type_at = 12;
    for (std::size_t tags = 0;; ++tags) {
      if (frame.size() < type_at + 2) return std::nullopt;
      const auto type = load16(frame.data() + type_at);
      const bool tag = type == ether_type::vlan || type == ether_type::provider_vlan;
      if (!tag || tags == max_tags) return Ethernet(frame, type_at);
      type_at += 4;
    }
  }

  [[nodiscard]] std::span<Byte, 6> destination() const noexcept {
    return frame_.template first<6>();
  }
  [[nodiscard]] std::span<Byte, 6> source() const noexcept {
    return frame_.template subspan<6, 6>();
  }
  /// What the payload is, behind the tags.
  [[nodiscard]] std::uint16_t type() const noexcept { return load16(frame_.data() + type_at_); }
  /// Tags included.
  [[nodiscard]] std::size_t header_length() const noexcept { return type_at_ + 2; }
  [[nodiscard]] std::span<Byte> payload() const noexcept { return frame_.subspan(header_length()); }
  /// Group addresses, broadcast among them.
  [[nodiscard]] bool is_multicast() const noexcept { return (load8(frame_.data()) & 1) != 0; }

 private:
  Ethernet(std::span<Byte> frame, std::size_t type_at) noexcept
      : frame_(frame), type_at_(type_at) {}

  std::span<Byte> frame_;
  std::size_t type_at_;
};

using EthernetView = Ethernet<const std::byte>;

}  // namespace warren::wire
