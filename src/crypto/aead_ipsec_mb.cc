// Intel's Multi-Buffer library: hand-written AVX2 and AVX-512 (with IFMA for Poly1305). It works on
// one message of this cipher at a time; what a batch saves is the queue's upkeep.
#include "crypto/aead_engines.h"

#ifdef WARREN_HAS_IPSEC_MB

#include <intel-ipsec-mb.h>

namespace warren::crypto {
namespace {

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};

constexpr std::size_t max_burst = 64;  // at most IMB_MAX_BURST_SIZE

class IpsecMbEngine final : public Aead::Engine {
 public:
  [[nodiscard]] bool set_up() {
    manager_.reset(alloc_mb_mgr(0));
    if (!manager_) return false;
    init_mb_mgr_auto(manager_.get(), nullptr);
    return imb_get_errno(manager_.get()) == 0;
  }

  void seal(std::span<AeadJob> jobs) noexcept override {
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(jobs.size(), max_burst)))
      run(jobs.first(std::min(jobs.size(), max_burst)), IMB_DIR_ENCRYPT);
  }
  void open(std::span<AeadJob> jobs) noexcept override {
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(jobs.size(), max_burst)))
      run(jobs.first(std::min(jobs.size(), max_burst)), IMB_DIR_DECRYPT);
  }

 private:
  using Tag = std::array<std::uint8_t, aead_tag_length>;

  void run(std::span<AeadJob> jobs, IMB_CIPHER_DIRECTION direction) noexcept {
    IMB_JOB* burst[max_burst];
    const auto count = static_cast<std::uint32_t>(jobs.size());
    for (auto& job : jobs) job.ok = false;
    if (IMB_GET_NEXT_BURST(manager_.get(), count, burst) != count) return;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      nonces_[i] = make_nonce(jobs[i].counter);
      describe(*burst[i], jobs[i], direction, i);
      burst[i]->user_data = &jobs[i];
    }
    // Done when it returns: nothing of this cipher waits in the library for other messages.
    const auto done = IMB_SUBMIT_BURST_NOCHECK(manager_.get(), count, burst);
    for (std::uint32_t i = 0; i < done; ++i) {
      auto& job = *static_cast<AeadJob*>(burst[i]->user_data);
      job.ok = burst[i]->status == IMB_STATUS_COMPLETED;
    }
    if (direction == IMB_DIR_ENCRYPT) return;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      jobs[i].ok = jobs[i].ok && constant_time_equal(tags_[i], Bytes{jobs[i].tag, tags_[i].size()});
  }

  void describe(IMB_JOB& out, const AeadJob& job, IMB_CIPHER_DIRECTION direction,
                std::size_t i) noexcept {
    const bool sealing = direction == IMB_DIR_ENCRYPT;
    out.enc_keys = job.key->data();
    out.dec_keys = job.key->data();
    out.key_len_in_bytes = Key::length;
    out.src = job.in.data();
    out.dst = job.out;
    out.cipher_start_src_offset_in_bytes = 0;
    out.msg_len_to_cipher_in_bytes = job.in.size();
    out.hash_start_src_offset_in_bytes = 0;
    out.msg_len_to_hash_in_bytes = job.in.size();
    out.iv = nonces_[i].data();
    out.iv_len_in_bytes = nonces_[i].size();
    out.auth_tag_output = sealing ? job.tag : tags_[i].data();
    out.auth_tag_output_len_in_bytes = aead_tag_length;
    out.u.CHACHA20_POLY1305.aad = job.associated.data();
    out.u.CHACHA20_POLY1305.aad_len_in_bytes = job.associated.size();
    out.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    out.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    out.cipher_direction = direction;
    out.chain_order = sealing ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  }

  std::unique_ptr<IMB_MGR, FreeManager> manager_;
  std::array<AeadNonce, max_burst> nonces_{};
  std::array<Tag, max_burst> tags_{};  // computed while opening
};

}  // namespace

bool has_ipsec_mb() noexcept { return __builtin_cpu_supports("avx2") != 0; }

std::unique_ptr<Aead::Engine> make_ipsec_mb_engine() {
  auto engine = std::make_unique<IpsecMbEngine>();
  return engine->set_up() ? std::move(engine) : nullptr;
}

}  // namespace warren::crypto

#else

namespace warren::crypto {

bool has_ipsec_mb() noexcept { return false; }
std::unique_ptr<Aead::Engine> make_ipsec_mb_engine() { return nullptr; }

}  // namespace warren::crypto

#endif
