/// For tests: published vectors are hexadecimal.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/secret.h"

namespace warren::crypto::testing {

using Buffer = std::vector<std::uint8_t>;

inline Buffer from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Buffer out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  return out;
}

inline std::string to_hex(Bytes bytes) {
  std::string out;
  for (const auto byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

template <std::size_t N>
std::array<std::uint8_t, N> array_from_hex(std::string_view text) {
  std::array<std::uint8_t, N> out{};
  std::ranges::copy(from_hex(text), out.begin());
  return out;
}

inline Key key_from_hex(std::string_view text) { return Key{array_from_hex<32>(text)}; }

inline Buffer random_buffer(std::mt19937_64& random, std::size_t size) {
  Buffer out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(random());
  return out;
}

inline Key random_key(std::mt19937_64& random) {
  Key out;
  std::ranges::copy(random_buffer(random, out.size()), out.data());
  return out;
}

}  // namespace warren::crypto::testing
