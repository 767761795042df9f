/// IPv6 headers and the extension headers behind them (RFC 8200, RFC 4302).
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

namespace ip_protocol {
inline constexpr std::uint8_t hop_by_hop = 0;
inline constexpr std::uint8_t routing = 43;
inline constexpr std::uint8_t fragment = 44;
inline constexpr std::uint8_t authentication = 51;
inline constexpr std::uint8_t no_next_header = 59;
inline constexpr std::uint8_t destination_options = 60;
}  // namespace ip_protocol

template <AnyByte Byte>
class Ipv6 {
 public:
  static constexpr std::size_t min_header_length = 40;

  /// Nothing where the header or the packet is longer than `bytes`. Jumbograms (RFC 2675) say a
  /// length of 0, and so appear to have no payload.
  [[nodiscard]] static std::optional<Ipv6> parse(std::span<Byte> bytes) noexcept {
    std::optional<Ipv6> header;
    if (bytes.size() >= min_header_length) header.emplace(bytes.data());
    if (header && !header->fits(bytes.size())) header.reset();
    return header;
  }
  /// For headers that parse() accepted before.
  explicit Ipv6(Byte* header) noexcept : p_(header) {}

  [[nodiscard]] std::uint8_t traffic_class() const noexcept {
    return static_cast<std::uint8_t>(load16(p_) >> 4);
  }
  [[nodiscard]] std::uint32_t flow_label() const noexcept { return load32(p_) & 0xfffffU; }
  /// Extension headers included.
  [[nodiscard]] std::uint16_t payload_length() const noexcept { return load16(p_ + 4); }
  [[nodiscard]] std::uint8_t next_header() const noexcept { return load8(p_ + 6); }
  [[nodiscard]] std::uint8_t hop_limit() const noexcept { return load8(p_ + 7); }
  [[nodiscard]] std::span<Byte, 16> source() const noexcept {
    return std::span<Byte, 16>(p_ + 8, 16);
  }
  [[nodiscard]] std::span<Byte, 16> destination() const noexcept {
    return std::span<Byte, 16>(p_ + 24, 16);
  }
  [[nodiscard]] std::span<Byte> payload() const noexcept {
    return {p_ + min_header_length, payload_length()};
  }

  void set_payload_length(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + 4, value);
  }
  void set_hop_limit(std::uint8_t value) const noexcept
    requires WritableByte<Byte>
  {
    store8(p_ + 7, value);
  }

 private:
  [[nodiscard]] bool fits(std::size_t size) const noexcept {
    return load8(p_) >> 4 == 6 && min_header_length + payload_length() <= size;
  }

  Byte* p_;
};

using Ipv6View = Ipv6<const std::byte>;
using Ipv6Editor = Ipv6<std::byte>;

/// What stands between the IPv6 header and the transport header.
struct Ipv6Extensions {
  std::size_t length = 0;       ///< bytes
  std::uint8_t protocol = 0;    ///< of what follows
  bool fragment = false;        ///< a fragment header was met, even of a whole packet
  bool later_fragment = false;  ///< not the first: what follows is no header
  bool authenticated = false;   ///< an authentication header covers the packet
};

/// Walks the extension headers in `payload`. Nothing where one of them is cut off.
[[nodiscard]] std::optional<Ipv6Extensions> walk_ipv6_extensions(
    std::uint8_t next_header, std::span<const std::byte> payload) noexcept;

}  // namespace warren::wire
