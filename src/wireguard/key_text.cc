#include "wireguard/key_text.h"

namespace warren::wireguard {

namespace {

/// All ones where first <= value <= last, else 0. All of them are below 2^8.
constexpr int in_range(int value, int first, int last) noexcept {
  return ((first - 1 - value) & (value - last - 1)) >> 8;
}

constexpr int character(char c) noexcept { return static_cast<unsigned char>(c); }

/// 0 to 15, or -1.
constexpr int hex_value(int c) noexcept {
  return -1 + (in_range(c, '0', '9') & (c - '0' + 1)) + (in_range(c, 'a', 'f') & (c - 'a' + 11)) +
         (in_range(c, 'A', 'F') & (c - 'A' + 11));
}

constexpr char hex_digit(int value) noexcept {
  return static_cast<char>(value + '0' + (in_range(value, 10, 15) & ('a' - '0' - 10)));
}

/// 0 to 63, or -1.
constexpr int base64_value(int c) noexcept {
  return -1 + (in_range(c, 'A', 'Z') & (c - 'A' + 1)) + (in_range(c, 'a', 'z') & (c - 'a' + 27)) +
         (in_range(c, '0', '9') & (c - '0' + 53)) + (in_range(c, '+', '+') & 63) +
         (in_range(c, '/', '/') & 64);
}

constexpr char base64_digit(int value) noexcept {
  return static_cast<char>((in_range(value, 0, 25) & (value + 'A')) +
                           (in_range(value, 26, 51) & (value - 26 + 'a')) +
                           (in_range(value, 52, 61) & (value - 52 + '0')) +
                           (in_range(value, 62, 62) & '+') + (in_range(value, 63, 63) & '/'));
}

}  // namespace

bool decode_hex(std::string_view text, std::span<std::uint8_t, key_size> key) noexcept {
  if (text.size() != hex_size) return false;
  int wrong = 0;
  for (std::size_t i = 0; i < key_size; ++i) {
    const int high = hex_value(character(text[2 * i]));
    const int low = hex_value(character(text[2 * i + 1]));
    wrong |= high | low;
    key[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return wrong >= 0;  // a -1 leaves the sign bit
}

void append_hex(SecretText& out, std::span<const std::uint8_t, key_size> key) {
  out.reserve(out.size() + hex_size);
  for (const int byte : key) {
    out += hex_digit(byte >> 4);
    out += hex_digit(byte & 15);
  }
}

// Four characters are three bytes; the last group has two bytes and one '=' for what is missing.
bool decode_base64(std::string_view text, std::span<std::uint8_t, key_size> key) noexcept {
  if (text.size() != base64_size || text.back() != '=') return false;
  int wrong = 0;
  for (std::size_t group = 0; group < base64_size / 4; ++group) {
    int bits = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const bool padding = 4 * group + i == base64_size - 1;
      const int value = padding ? 0 : base64_value(character(text[4 * group + i]));
      wrong |= value;
      bits = bits << 6 | (value & 63);
    }
    for (std::size_t i = 0; i < 3; ++i) {
      const auto byte = static_cast<std::uint8_t>(bits >> (16 - 8 * i));
      if (3 * group + i < key_size)
        key[3 * group + i] = byte;
      else
        wrong |= -int{byte};  // bits behind the key's end
    }
  }
  return wrong >= 0;
}

void append_base64(SecretText& out, std::span<const std::uint8_t, key_size> key) {
  out.reserve(out.size() + base64_size);
  for (std::size_t i = 0; i < key_size; i += 3) {
    const auto byte = [&](std::size_t at) { return at < key_size ? int{key[at]} : 0; };
    const int bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) out += base64_digit(bits >> shift & 63);
  }
  out.back() = '=';
}

}  // namespace warren::wireguard
