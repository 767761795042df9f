/// ChaCha20-Poly1305 (RFC 8439) in batches, by what this machine does fastest; and XChaCha20-
/// Poly1305 (draft-irtf-cfrg-xchacha-03), which WireGuard's cookies use.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <warren/result.h>

#include "crypto/secret.h"

namespace warren::crypto {

inline constexpr std::size_t aead_tag_length = 16;

/// One message. What it points to must stay until the batch is done.
struct AeadJob {
  const Key* key = nullptr;
  std::uint64_t counter = 0;  ///< the nonce: four zero bytes, then this, little-endian
  Bytes in;                   ///< plaintext for seal(), ciphertext without tag for open()
  /// As long as `in`. Either the same place, or no byte in common.
  std::uint8_t* out = nullptr;
  std::uint8_t* tag = nullptr;  ///< 16 bytes: written by seal(), read by open()
  Bytes associated{};           ///< authenticated, not encrypted
  /// The verdict. Where it is false, what is in `out` must not be used.
  bool ok = false;
};

/// Seals and opens batches. One thread at a time; each thread has its own.
class Aead {
 public:
  enum class Backend : std::uint8_t {
    openssl,   ///< everywhere; one message after the other
    ipsec_mb,  ///< x86-64 with AVX2 or AVX-512
  };

  /// What create() takes where nothing else is asked for; for status output.
  [[nodiscard]] static Backend best() noexcept;
  [[nodiscard]] static std::vector<Backend> available();
  [[nodiscard]] static std::string_view name(Backend backend) noexcept;

  /// With more than one thread, big batches are shared with others (aead_threads.h): for machines
  /// that have cores to spare.
  [[nodiscard]] static Result<Aead> create(Backend backend = best(), unsigned threads = 1);

  /// Any number of jobs, of any keys. Allocates nothing.
  void seal(std::span<AeadJob> jobs) noexcept { engine_->seal(jobs); }
  /// Compares tags in constant time.
  void open(std::span<AeadJob> jobs) noexcept { engine_->open(jobs); }

  [[nodiscard]] Backend backend() const noexcept { return backend_; }

  /// An implementation: aead_openssl.cc, aead_ipsec_mb.cc.
  class Engine {
   public:
    virtual ~Engine() = default;
    virtual void seal(std::span<AeadJob> jobs) noexcept = 0;
    virtual void open(std::span<AeadJob> jobs) noexcept = 0;
  };

 private:
  Aead(Backend backend, std::unique_ptr<Engine> engine) noexcept
      : backend_(backend), engine_(std::move(engine)) {}

  Backend backend_;
  std::unique_ptr<Engine> engine_;
};

/// One message, where there is no batch: handshakes. `out` has 16 bytes more than `in`, for the
/// tag. Any thread. False only where OpenSSL is out of memory.
[[nodiscard]] bool aead_seal(std::span<std::uint8_t> out, const Key& key, std::uint64_t counter,
                             Bytes in, Bytes associated) noexcept;
/// `in` ends with the tag; `out` has 16 bytes less. Where it is false, `out` is all zero.
[[nodiscard]] bool aead_open(std::span<std::uint8_t> out, const Key& key, std::uint64_t counter,
                             Bytes in, Bytes associated) noexcept;

using XNonce = std::array<std::uint8_t, 24>;

/// The same with a nonce that is long enough to be drawn at random.
[[nodiscard]] bool xaead_seal(std::span<std::uint8_t> out, const Key& key, const XNonce& nonce,
                              Bytes in, Bytes associated) noexcept;
[[nodiscard]] bool xaead_open(std::span<std::uint8_t> out, const Key& key, const XNonce& nonce,
                              Bytes in, Bytes associated) noexcept;

/// The key derivation of XChaCha20 (section 2.2 of the draft).
[[nodiscard]] Key hchacha20(const Key& key, std::span<const std::uint8_t, 16> nonce) noexcept;

}  // namespace warren::crypto
