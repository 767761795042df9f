/// UDP headers (RFC 768).
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

template <AnyByte Byte>
class Udp {
 public:
  static constexpr std::size_t header_length = 8;
  static constexpr std::uint16_t destination_at = 2;
  static constexpr std::uint16_t checksum_at = 6;

  /// Nothing where the datagram is longer than `bytes`, the payload of the IP packet.
  [[nodiscard]] static std::optional<Udp> parse(std::span<Byte> bytes) noexcept {
    std::optional<Udp> header;
    if (bytes.size() >= header_length) header.emplace(bytes.data());
    if (header && !header->fits(bytes.size())) header.reset();
    return header;
  }
  /// For headers that parse() accepted before.
  explicit Udp(Byte* header) noexcept : p_(header) {}

  [[nodiscard]] std::uint16_t source_port() const noexcept { return load16(p_); }
  [[nodiscard]] std::uint16_t destination_port() const noexcept {
    return load16(p_ + destination_at);
  }
  /// Header included.
  [[nodiscard]] std::uint16_t length() const noexcept { return load16(p_ + 4); }
  /// In memory order. 0: the sender made none.
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_raw<std::uint16_t>(p_ + checksum_at);
  }
  [[nodiscard]] std::span<Byte> payload() const noexcept {
    return {p_ + header_length, length() - header_length};
  }

  void set_source_port(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_, value);
  }
  void set_destination_port(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + destination_at, value);
  }
  void set_length(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + 4, value);
  }
  /// In memory order, as wire::finish() returns it.
  void set_checksum(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store_raw(p_ + checksum_at, value);
  }

 private:
  [[nodiscard]] bool fits(std::size_t size) const noexcept {
    return length() >= header_length && length() <= size;
  }

  Byte* p_;
};

using UdpView = Udp<const std::byte>;
using UdpEditor = Udp<std::byte>;

}  // namespace warren::wire
