/// Files that hold keys, which nobody but their owner may read.
#pragma once

#include <string>

#include <warren/result.h>

#include "crypto/secret.h"
#include "wireguard/key_text.h"

namespace warren::tunnel {

/// The text of a file that belongs to root or to this process's user, and that neither group nor others
/// may read. Errors name the file and what to do about it; at most 16 MiB.
[[nodiscard]] Result<wireguard::SecretText> read_secret_file(const std::string& path);

/// The key in such a file, as `wg genkey` and `wg genpsk` print it.
[[nodiscard]] Result<crypto::Key> read_key_file(const std::string& path);

}  // namespace warren::tunnel
