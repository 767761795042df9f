/// Numbers in packets: unaligned, and in network byte order.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace warren::wire {

// Every view has `parse()`, which checks, and then reads without further checks. It fills the
// optional where it will stand: copied right after it was written in parts, it would stall each
// packet.

/// A view over bytes that may be read (`const std::byte`) or also written (`std::byte`).
template <class Byte>
concept AnyByte = std::same_as<std::remove_const_t<Byte>, std::byte>;

template <class Byte>
concept WritableByte = std::same_as<Byte, std::byte>;

/// As it lies in memory: for checksums, and for comparing.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_raw(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <std::unsigned_integral T>
inline void store_raw(std::byte* at, T value) noexcept {
  std::memcpy(at, &value, sizeof value);
}

/// Between the machine's byte order and the network's; the same function both ways.
[[nodiscard]] constexpr std::uint16_t network(std::uint16_t value) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}
[[nodiscard]] constexpr std::uint32_t network(std::uint32_t value) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

[[nodiscard]] inline std::uint8_t load8(const std::byte* at) noexcept {
  return std::to_integer<std::uint8_t>(*at);
}
[[nodiscard]] inline std::uint16_t load16(const std::byte* at) noexcept {
  return network(load_raw<std::uint16_t>(at));
}
[[nodiscard]] inline std::uint32_t load32(const std::byte* at) noexcept {
  return network(load_raw<std::uint32_t>(at));
}
inline void store8(std::byte* at, std::uint8_t value) noexcept { *at = std::byte{value}; }
inline void store16(std::byte* at, std::uint16_t value) noexcept { store_raw(at, network(value)); }
inline void store32(std::byte* at, std::uint32_t value) noexcept { store_raw(at, network(value)); }

}  // namespace warren::wire
