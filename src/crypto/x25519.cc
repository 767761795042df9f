// Theory of operation. EVP_PKEY_new_raw_private_key() computes the public key each time, which
// doubles the cost of one exchange. EVP_PKEY_fromdata() does not if it is given one; the exchange
// itself never looks at our own public key, so ours is given the peer's.
#include "crypto/x25519.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/openssl_pointer.h"

namespace warren::crypto {
namespace {

using Pkey = OpensslPointer<EVP_PKEY, EVP_PKEY_free>;
using PkeyContext = OpensslPointer<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

// OpenSSL copies the private key, and wipes its copy when the EVP_PKEY is freed.
Pkey make_key(const Key* secret, const PublicKey& shown) noexcept {
  static thread_local const PkeyContext context{
      EVP_PKEY_CTX_new_from_name(nullptr, "X25519", nullptr)};
  OSSL_PARAM parameters[3];
  std::size_t count = 0;
  const auto add = [&](const char* name, const std::uint8_t* bytes) {
    // OpenSSL only reads it, whatever the signature says.
    parameters[count++] =
        OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes),
                                          32);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  };
  if (secret != nullptr) add(OSSL_PKEY_PARAM_PRIV_KEY, secret->data());
  add(OSSL_PKEY_PARAM_PUB_KEY, shown.data());
  parameters[count] = OSSL_PARAM_construct_end();
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters) != 1)
    return nullptr;
  return Pkey{key};
}

}  // namespace

bool x25519(Key& out, const Key& secret, const PublicKey& theirs) noexcept {
  const Pkey ours = make_key(&secret, theirs);
  const Pkey peer = make_key(nullptr, theirs);
  const PkeyContext exchange{ours ? EVP_PKEY_CTX_new(ours.get(), nullptr) : nullptr};
  std::size_t size = Key::length;
  const bool done = peer && exchange && EVP_PKEY_derive_init(exchange.get()) == 1 &&
                    EVP_PKEY_derive_set_peer(exchange.get(), peer.get()) == 1 &&
                    EVP_PKEY_derive(exchange.get(), out.data(), &size) == 1;
  // OpenSSL refuses the all-zero result by itself; asked again here, because all depends on it.
  if (done && !out.is_zero()) return true;
  ERR_clear_error();
  out.clear();
  return false;
}

PublicKey x25519_public(const Key& secret) noexcept {
  PublicKey out{};
  std::size_t size = out.size();
  const Pkey key{
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), Key::length)};
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size) != 1) ERR_clear_error();
  return out;
}

Key x25519_generate() noexcept {
  Key secret = Key::random();
  secret.data()[0] &= 248;
  secret.data()[31] = static_cast<std::uint8_t>((secret.data()[31] & 127) | 64);
  return secret;
}

}  // namespace warren::crypto
