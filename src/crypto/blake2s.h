/// BLAKE2s (RFC 7693), its keyed form as a MAC, and HMAC and HKDF over it as WireGuard uses them
/// (WireGuard paper, section 5.4; RFC 2104, RFC 5869 without "info").
///
/// An own implementation, because the inputs are 32 to 150 bytes: OpenSSL takes longer to set up a
/// context than to hash those, and allocates one for each MAC.
#pragma once

#include "crypto/bytes.h"
#include "crypto/secret.h"

namespace warren::crypto {

class Blake2s {
 public:
  static constexpr std::size_t block_length = 64;

  /// `size` of the hash: 1 to 32. `key`: at most 32 bytes; none makes it a plain hash.
  explicit Blake2s(std::size_t size = 32, Bytes key = {}) noexcept;
  Blake2s(const Blake2s&) noexcept = default;
  Blake2s& operator=(const Blake2s&) noexcept = default;
  ~Blake2s() { wipe(this, sizeof *this); }

  void update(Bytes bytes) noexcept;
  /// Writes `size` bytes. Call it once, at the end.
  void finish(std::uint8_t* out) noexcept;

 private:
  void compress(const std::uint8_t* block, std::uint32_t last) noexcept;

  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, block_length> block_{};
  std::uint64_t hashed_ = 0;  // bytes that went through compress()
  std::size_t filled_ = 0;    // bytes in block_; the last block waits there for finish()
  std::size_t size_;
};

/// The hash of the parts, one after the other.
template <class... Parts>
[[nodiscard]] Hash blake2s(const Parts&... parts) noexcept {
  Hash out;
  Blake2s state;
  (state.update(parts), ...);
  state.finish(out.data());
  return out;
}

/// Keyed BLAKE2s of N bytes: WireGuard's MAC() with 16.
template <std::size_t N = 16, class... Parts>
[[nodiscard]] std::array<std::uint8_t, N> blake2s_mac(Bytes key, const Parts&... parts) noexcept {
  static_assert(N <= 32);
  std::array<std::uint8_t, N> out;
  Blake2s state(N, key);
  (state.update(parts), ...);
  state.finish(out.data());
  return out;
}

/// HMAC-BLAKE2s. `key`: at most 64 bytes.
void hmac_blake2s(std::span<std::uint8_t, 32> out, Bytes key, Bytes first,
                  Bytes second = {}) noexcept;

/// WireGuard's KDF_N: N keys out of a chaining key and an input. N: 1 to 3.
template <std::size_t N>
[[nodiscard]] std::array<Key, N> hkdf(Bytes chaining_key, Bytes input) noexcept {
  static_assert(N >= 1 && N <= 3);
  Key secret;
  hmac_blake2s(secret.bytes(), chaining_key, input);
  std::array<Key, N> out;
  for (std::size_t i = 0; i < N; ++i) {
    const std::array<std::uint8_t, 1> number{static_cast<std::uint8_t>(i + 1)};
    const Bytes last = i == 0 ? Bytes{} : Bytes{out[i - 1]};
    hmac_blake2s(out[i].bytes(), secret, last, number);
  }
  return out;
}

}  // namespace warren::crypto
