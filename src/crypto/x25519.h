/// Diffie-Hellman over Curve25519 (RFC 7748), by OpenSSL: some 30 µs each.
#pragma once

#include "crypto/secret.h"

namespace warren::crypto {

/// False, with `out` all zero, where the result is the all-zero point: `theirs` is of small order,
/// and whoever sent it wants a key that does not depend on ours (RFC 7748, section 6.1).
/// Any thread. Scalars need not be clamped.
[[nodiscard]] bool x25519(Key& out, const Key& secret, const PublicKey& theirs) noexcept;

/// The public key that belongs to a private one.
[[nodiscard]] PublicKey x25519_public(const Key& secret) noexcept;

/// A fresh private key, clamped as `wg genkey` prints it.
[[nodiscard]] Key x25519_generate() noexcept;

}  // namespace warren::crypto
