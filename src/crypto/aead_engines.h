/// Between aead.cc and the implementations.
#pragma once

#include <array>
#include <cstring>

#include "crypto/aead.h"

namespace warren::crypto {

using AeadNonce = std::array<std::uint8_t, 12>;

[[nodiscard]] inline AeadNonce make_nonce(std::uint64_t counter) noexcept {
  AeadNonce nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
  return nonce;
}

/// Null where the library cannot be set up.
[[nodiscard]] std::unique_ptr<Aead::Engine> make_openssl_engine();

/// Whether the machine is worth it. Null where the library was built without.
[[nodiscard]] bool has_ipsec_mb() noexcept;
[[nodiscard]] std::unique_ptr<Aead::Engine> make_ipsec_mb_engine();

}  // namespace warren::crypto
