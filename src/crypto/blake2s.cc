#include "crypto/blake2s.h"

#include <bit>
#include <cstring>

namespace warren::crypto {
namespace {

constexpr std::array<std::uint32_t, 8> initial{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

constexpr std::uint8_t sigma[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

// Words are little-endian.
std::uint32_t load(const std::uint8_t* at) noexcept {
  std::uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return std::endian::native == std::endian::little ? word : __builtin_bswap32(word);
}
void store(std::uint8_t* at, std::uint32_t word) noexcept {
  if constexpr (std::endian::native != std::endian::little) word = __builtin_bswap32(word);
  std::memcpy(at, &word, sizeof word);
}

inline void mix(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c, std::uint32_t& d,
                std::uint32_t x, std::uint32_t y) noexcept {
  a += b + x;
  d = std::rotr(d ^ a, 16);
  c += d;
  b = std::rotr(b ^ c, 12);
  a += b + y;
  d = std::rotr(d ^ a, 8);
  c += d;
  b = std::rotr(b ^ c, 7);
}

}  // namespace

Blake2s::Blake2s(std::size_t size, Bytes key) noexcept : state_(initial), size_(size) {
  state_[0] ^=
      0x01010000U ^ static_cast<std::uint32_t>(key.size() << 8) ^ static_cast<std::uint32_t>(size);
  if (key.size() == 0) return;
  std::memcpy(block_.data(), key.data(), key.size());
  filled_ = block_length;
}

void Blake2s::compress(const std::uint8_t* block, std::uint32_t last) noexcept {
  std::uint32_t m[16];
  for (std::size_t i = 0; i < 16; ++i) m[i] = load(block + 4 * i);
  std::uint32_t v[16];
  for (std::size_t i = 0; i < 8; ++i) {
    v[i] = state_[i];
    v[i + 8] = initial[i];
  }
  v[12] ^= static_cast<std::uint32_t>(hashed_);
  v[13] ^= static_cast<std::uint32_t>(hashed_ >> 32);
  v[14] ^= last;
#pragma GCC unroll 10
  for (const auto& s : sigma) {
    mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
  }
  for (std::size_t i = 0; i < 8; ++i) state_[i] ^= v[i] ^ v[i + 8];
}

void Blake2s::update(Bytes bytes) noexcept {
  const std::uint8_t* in = bytes.data();
  std::size_t size = bytes.size();
  while (size > 0) {
    if (filled_ == block_length) {
      hashed_ += block_length;
      compress(block_.data(), 0);
      filled_ = 0;
    }
    const std::size_t part = std::min(size, block_length - filled_);
    std::memcpy(block_.data() + filled_, in, part);
    filled_ += part;
    in += part;
    size -= part;
  }
}

void Blake2s::finish(std::uint8_t* out) noexcept {
  hashed_ += filled_;
  std::memset(block_.data() + filled_, 0, block_length - filled_);
  compress(block_.data(), 0xffffffffU);
  std::array<std::uint8_t, 32> hash;
  for (std::size_t i = 0; i < 8; ++i) store(hash.data() + 4 * i, state_[i]);
  std::memcpy(out, hash.data(), size_);
  wipe(hash.data(), hash.size());
}

void hmac_blake2s(std::span<std::uint8_t, 32> out, Bytes key, Bytes first, Bytes second) noexcept {
  SecretBytes<Blake2s::block_length> pad;
  std::ranges::copy(key, pad.data());
  for (auto& byte : pad.bytes()) byte ^= 0x36;
  SecretBytes<32> inner;
  {
    Blake2s state;
    state.update(pad);
    state.update(first);
    state.update(second);
    state.finish(inner.data());
  }
  for (auto& byte : pad.bytes()) byte ^= 0x36 ^ 0x5c;
  Blake2s state;
  state.update(pad);
  state.update(inner);
  state.finish(out.data());
}

}  // namespace warren::crypto
