/// How bytes are handed to the functions of this layer.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>

namespace warren::crypto {

template <class T>
concept ByteLike =
    std::same_as<T, std::uint8_t> || std::same_as<T, std::byte> || std::same_as<T, char>;

/// Bytes that are read: a view of whatever holds them, be it a packet (std::byte), a key or a hash
/// (std::uint8_t) or a label (std::string_view). A string literal is no such range: it has a zero
/// at its end.
class Bytes {
 public:
  constexpr Bytes() noexcept = default;
  constexpr Bytes(const std::uint8_t* data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::ranges::contiguous_range Range>
    requires ByteLike<std::ranges::range_value_t<Range>> && (!std::is_array_v<Range>)
  Bytes(const Range& range) noexcept  // NOLINT(google-explicit-constructor)
      : data_(reinterpret_cast<const std::uint8_t*>(std::ranges::data(range))),
        size_(std::ranges::size(range)) {}

  [[nodiscard]] constexpr const std::uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr const std::uint8_t* begin() const noexcept { return data_; }
  [[nodiscard]] constexpr const std::uint8_t* end() const noexcept { return data_ + size_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A public key: nothing secret.
using PublicKey = std::array<std::uint8_t, 32>;
using Hash = std::array<std::uint8_t, 32>;

}  // namespace warren::crypto
