/// Keys as text: base64 in files and for people, hexadecimal in the UAPI.
///
/// The conversions neither branch nor index memory by the key, so that they take as long for every
/// key. Text that holds keys is SecretText, which wipes what it held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "crypto/secret.h"

namespace warren::wireguard {

/// Wipes memory before it gives it back.
template <class T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() noexcept = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* at, std::size_t count) noexcept {
    crypto::wipe(at, count * sizeof(T));
    std::allocator<T>().deallocate(at, count);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) noexcept { return true; }
};

/// A string that leaves nothing behind. Texts of up to 15 characters, which no key is, are not wiped.
using SecretText = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

inline constexpr std::size_t key_size = 32;
inline constexpr std::size_t hex_size = 64;
inline constexpr std::size_t base64_size = 44;

/// False where `text` is not exactly one key: `key` holds nothing of use then. Hexadecimal digits in
/// either case.
[[nodiscard]] bool decode_hex(std::string_view text,
                              std::span<std::uint8_t, key_size> key) noexcept;
[[nodiscard]] bool decode_base64(std::string_view text,
                                 std::span<std::uint8_t, key_size> key) noexcept;

/// Appends the text, in lower case.
void append_hex(SecretText& out, std::span<const std::uint8_t, key_size> key);
void append_base64(SecretText& out, std::span<const std::uint8_t, key_size> key);

}  // namespace warren::wireguard
