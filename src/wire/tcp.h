/// TCP headers (RFC 9293).
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t rst = 0x04;
inline constexpr std::uint8_t psh = 0x08;
inline constexpr std::uint8_t ack = 0x10;
inline constexpr std::uint8_t urg = 0x20;
inline constexpr std::uint8_t ece = 0x40;
inline constexpr std::uint8_t cwr = 0x80;
}  // namespace tcp_flag

template <AnyByte Byte>
class Tcp {
 public:
  static constexpr std::size_t min_header_length = 20;
  static constexpr std::uint16_t checksum_at = 16;

  /// Nothing where the header is longer than `bytes`, the payload of the IP packet.
  [[nodiscard]] static std::optional<Tcp> parse(std::span<Byte> bytes) noexcept {
    std::optional<Tcp> header;
    if (bytes.size() >= min_header_length) header.emplace(bytes.data());
    if (header && !header->fits(bytes.size())) header.reset();
    return header;
  }
  /// For headers that parse() accepted before.
  explicit Tcp(Byte* header) noexcept : p_(header) {}

  [[nodiscard]] std::uint16_t source_port() const noexcept { return load16(p_); }
  [[nodiscard]] std::uint16_t destination_port() const noexcept { return load16(p_ + 2); }
  [[nodiscard]] std::uint32_t sequence() const noexcept { return load32(p_ + 4); }
  [[nodiscard]] std::uint32_t acknowledgment() const noexcept { return load32(p_ + 8); }
  [[nodiscard]] std::size_t header_length() const noexcept {
    return (std::size_t{load8(p_ + 12)} >> 4) * 4;
  }
  /// Of tcp_flag.
  [[nodiscard]] std::uint8_t flags() const noexcept { return load8(p_ + 13); }
  [[nodiscard]] std::uint16_t window() const noexcept { return load16(p_ + 14); }
  /// In memory order.
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_raw<std::uint16_t>(p_ + checksum_at);
  }
  [[nodiscard]] std::uint16_t urgent() const noexcept { return load16(p_ + 18); }
  [[nodiscard]] std::span<Byte> options() const noexcept {
    return {p_ + min_header_length, header_length() - min_header_length};
  }

  void set_source_port(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_, value);
  }
  void set_destination_port(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store16(p_ + 2, value);
  }
  void set_sequence(std::uint32_t value) const noexcept
    requires WritableByte<Byte>
  {
    store32(p_ + 4, value);
  }
  void set_flags(std::uint8_t value) const noexcept
    requires WritableByte<Byte>
  {
    store8(p_ + 13, value);
  }
  /// In memory order, as wire::finish() returns it.
  void set_checksum(std::uint16_t value) const noexcept
    requires WritableByte<Byte>
  {
    store_raw(p_ + checksum_at, value);
  }

 private:
  [[nodiscard]] bool fits(std::size_t size) const noexcept {
    return header_length() >= min_header_length && header_length() <= size;
  }

  Byte* p_;
};

using TcpView = Tcp<const std::byte>;
using TcpEditor = Tcp<std::byte>;

}  // namespace warren::wire
