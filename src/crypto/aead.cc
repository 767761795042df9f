#include "crypto/aead.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "crypto/aead_engines.h"
#include "crypto/aead_threads.h"

namespace warren::crypto {

Aead::Backend Aead::best() noexcept {
  return has_ipsec_mb() ? Backend::ipsec_mb : Backend::openssl;
}

std::vector<Aead::Backend> Aead::available() {
  if (has_ipsec_mb()) return {Backend::openssl, Backend::ipsec_mb};
  return {Backend::openssl};
}

std::string_view Aead::name(Backend backend) noexcept {
  return backend == Backend::ipsec_mb ? "ipsec-mb" : "openssl";
}

Result<Aead> Aead::create(Backend backend, unsigned threads) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) {
    auto engine = backend == Backend::ipsec_mb ? make_ipsec_mb_engine() : make_openssl_engine();
    if (!engine)
      return fail("ChaCha20-Poly1305 by " + std::string(name(backend)) +
                  ": the library cannot be set up on this machine; " +
                  (backend == Backend::ipsec_mb ? "choose openssl instead"
                                                : "is OpenSSL's default provider installed?"));
    engines.push_back(std::move(engine));
  }
  if (engines.size() == 1) return Aead{backend, std::move(engines[0])};
  return Aead{backend, std::make_unique<AeadThreads>(std::move(engines))};
}

namespace {

// OpenSSL's, because it needs little memory; for single messages the difference is small.
Aead::Engine* single() noexcept {
  static thread_local const std::unique_ptr<Aead::Engine> engine = make_openssl_engine();
  return engine.get();
}

std::uint32_t load(const std::uint8_t* at) noexcept {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 | std::uint32_t{at[2]} << 16 |
         std::uint32_t{at[3]} << 24;
}

void quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c,
                   std::uint32_t& d) noexcept {
  a += b;
  d = std::rotl(d ^ a, 16);
  c += d;
  b = std::rotl(b ^ c, 12);
  a += b;
  d = std::rotl(d ^ a, 8);
  c += d;
  b = std::rotl(b ^ c, 7);
}

// The rest of the nonce: four zero bytes and 8 of the long one, which is what a counter becomes.
std::uint64_t tail(const XNonce& nonce) noexcept {
  return std::uint64_t{load(nonce.data() + 20)} << 32 | load(nonce.data() + 16);
}
std::span<const std::uint8_t, 16> head(const XNonce& nonce) noexcept {
  return std::span{nonce}.first<16>();
}

}  // namespace

bool aead_seal(std::span<std::uint8_t> out, const Key& key, std::uint64_t counter, Bytes in,
               Bytes associated) noexcept {
  if (out.size() != in.size() + aead_tag_length || single() == nullptr) return false;
  AeadJob job{&key, counter, in, out.data(), out.data() + in.size(), associated};
  single()->seal({&job, 1});
  return job.ok;
}

bool aead_open(std::span<std::uint8_t> out, const Key& key, std::uint64_t counter, Bytes in,
               Bytes associated) noexcept {
  bool ok = false;
  if (in.size() == out.size() + aead_tag_length && single() != nullptr) {
    std::array<std::uint8_t, aead_tag_length> tag;
    std::memcpy(tag.data(), in.data() + out.size(), tag.size());
    AeadJob job{&key, counter, {in.data(), out.size()}, out.data(), tag.data(), associated};
    single()->open({&job, 1});
    ok = job.ok;
  }
  if (!ok) wipe(out.data(), out.size());
  return ok;
}

Key hchacha20(const Key& key, std::span<const std::uint8_t, 16> nonce) noexcept {
  std::uint32_t x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (std::size_t i = 0; i < 8; ++i) x[4 + i] = load(key.data() + 4 * i);
  for (std::size_t i = 0; i < 4; ++i) x[12 + i] = load(nonce.data() + 4 * i);
  for (int i = 0; i < 10; ++i) {
    quarter_round(x[0], x[4], x[8], x[12]);
    quarter_round(x[1], x[5], x[9], x[13]);
    quarter_round(x[2], x[6], x[10], x[14]);
    quarter_round(x[3], x[7], x[11], x[15]);
    quarter_round(x[0], x[5], x[10], x[15]);
    quarter_round(x[1], x[6], x[11], x[12]);
    quarter_round(x[2], x[7], x[8], x[13]);
    quarter_round(x[3], x[4], x[9], x[14]);
  }
  Key out;
  for (std::size_t i = 0; i < 32; ++i) {
    const std::uint32_t word = x[i < 16 ? i / 4 : 8 + i / 4];
    out.data()[i] = static_cast<std::uint8_t>(word >> (8 * (i % 4)));
  }
  wipe(x, sizeof x);
  return out;
}

bool xaead_seal(std::span<std::uint8_t> out, const Key& key, const XNonce& nonce, Bytes in,
                Bytes associated) noexcept {
  return aead_seal(out, hchacha20(key, head(nonce)), tail(nonce), in, associated);
}

bool xaead_open(std::span<std::uint8_t> out, const Key& key, const XNonce& nonce, Bytes in,
                Bytes associated) noexcept {
  return aead_open(out, hchacha20(key, head(nonce)), tail(nonce), in, associated);
}

}  // namespace warren::crypto
