/// TAI64N: the time that an initiation carries, so that it cannot be replayed.
/// https://cr.yp.to/libtai/tai64.html
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>

namespace warren::wireguard {

/// Eight bytes of seconds and four of nanoseconds, big-endian: ordered as its bytes are.
struct Timestamp {
  std::array<std::uint8_t, 12> bytes{};

  /// `since_1970` by the wall clock; never before 1970. Rounded down to some 17 ms, so that it says
  /// little about the machine.
  [[nodiscard]] static Timestamp at(std::chrono::nanoseconds since_1970) noexcept {
    constexpr std::uint64_t epoch = 0x400000000000000aU;  // 1970, in TAI
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_1970);
    const auto nanoseconds = static_cast<std::uint32_t>((since_1970 - seconds).count());
    Timestamp out;
    out.store(epoch + static_cast<std::uint64_t>(seconds.count()), 0, 8);
    out.store(nanoseconds & ~0xffffffU, 8, 4);
    return out;
  }

  /// The least one that is greater.
  [[nodiscard]] Timestamp next() const noexcept {
    Timestamp out = *this;
    for (std::size_t i = out.bytes.size(); i-- > 0;) {
      if (++out.bytes[i] != 0) break;
    }
    return out;
  }

  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;

 private:
  void store(std::uint64_t value, std::size_t at, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i)
      bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
  }
};

}  // namespace warren::wireguard
