// The cipher is fetched once and both contexts are kept: what is left per message is to set key and
// nonce, which allocates nothing.
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/aead_engines.h"
#include "crypto/openssl_pointer.h"

namespace warren::crypto {
namespace {

using Cipher = OpensslPointer<EVP_CIPHER, EVP_CIPHER_free>;
using Context = OpensslPointer<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

enum Direction { decrypt, encrypt };

constexpr std::size_t max_size = 1 << 30;  // OpenSSL counts with int

class OpensslEngine final : public Aead::Engine {
 public:
  [[nodiscard]] bool set_up() {
    cipher_.reset(EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr));
    sealing_.reset(EVP_CIPHER_CTX_new());
    opening_.reset(EVP_CIPHER_CTX_new());
    const AeadNonce nonce{};
    return cipher_ && sealing_ && opening_ &&
           EVP_CipherInit_ex2(sealing_.get(), cipher_.get(), no_key_.data(), nonce.data(), encrypt,
                              nullptr) == 1 &&
           EVP_CipherInit_ex2(opening_.get(), cipher_.get(), no_key_.data(), nonce.data(), decrypt,
                              nullptr) == 1;
  }

  void seal(std::span<AeadJob> jobs) noexcept override {
    const Key* loaded = nullptr;
    for (auto& job : jobs) {
      job.ok =
          begin(sealing_.get(), job, std::exchange(loaded, job.key) == job.key) &&
          run(sealing_.get(), job) &&
          EVP_CIPHER_CTX_ctrl(sealing_.get(), EVP_CTRL_AEAD_GET_TAG, aead_tag_length, job.tag) == 1;
    }
    forget_key(sealing_.get());
  }

  void open(std::span<AeadJob> jobs) noexcept override {
    const Key* loaded = nullptr;
    bool all = true;
    for (auto& job : jobs) {
      job.ok = begin(opening_.get(), job, std::exchange(loaded, job.key) == job.key) &&
               EVP_CIPHER_CTX_ctrl(opening_.get(), EVP_CTRL_AEAD_SET_TAG, aead_tag_length,
                                   job.tag) == 1 &&
               run(opening_.get(), job);
      all = all && job.ok;
    }
    forget_key(opening_.get());
    // A forged message leaves an entry in the thread's list of errors.
    if (!all) ERR_clear_error();
  }

 private:
  static bool begin(EVP_CIPHER_CTX* context, const AeadJob& job, bool same_key) noexcept {
    const auto nonce = make_nonce(job.counter);
    return job.in.size() <= max_size && job.associated.size() <= max_size &&
           EVP_CipherInit_ex2(context, nullptr, same_key ? nullptr : job.key->data(), nonce.data(),
                              -1, nullptr) == 1;
  }

  static bool run(EVP_CIPHER_CTX* context, const AeadJob& job) noexcept {
    int size = 0;
    if (job.associated.size() != 0 &&
        EVP_CipherUpdate(context, nullptr, &size, job.associated.data(),
                         static_cast<int>(job.associated.size())) != 1)
      return false;
    if (job.in.size() != 0 && EVP_CipherUpdate(context, job.out, &size, job.in.data(),
                                               static_cast<int>(job.in.size())) != 1)
      return false;
    std::uint8_t nothing[16];  // a stream cipher has nothing left at the end
    return EVP_CipherFinal_ex(context, nothing, &size) == 1;
  }

  // The key of the last message would stay in the context.
  void forget_key(EVP_CIPHER_CTX* context) const noexcept {
    EVP_CipherInit_ex2(context, nullptr, no_key_.data(), nullptr, -1, nullptr);
  }

  Cipher cipher_;
  Context sealing_;
  Context opening_;
  Key no_key_;
};

}  // namespace

std::unique_ptr<Aead::Engine> make_openssl_engine() {
  auto engine = std::make_unique<OpensslEngine>();
  if (!engine->set_up()) {
    ERR_clear_error();
    return nullptr;
  }
  return engine;
}

}  // namespace warren::crypto
