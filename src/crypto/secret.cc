#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

namespace warren::crypto {

void wipe(void* at, std::size_t size) noexcept { OPENSSL_cleanse(at, size); }

bool constant_time_equal(Bytes a, Bytes b) noexcept {
  return a.size() == b.size() &&
         (a.size() == 0 || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

void random_bytes(std::span<std::uint8_t> out) noexcept {
  while (!out.empty()) {
    const auto got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      std::perror("warren: getrandom, without which there are no keys");
      std::abort();
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

namespace {

constexpr std::size_t unit = 64;  // what sizes are rounded up to
constexpr std::size_t largest = 4096;
constexpr std::size_t chunk = 1 << 16;  // what is taken from the kernel at once

// Freed pieces are kept in a list for each size, and given out again; pages never go back to the
// kernel. A piece in a list begins with the address of the next one.
class LockedPages {
 public:
  void* allocate(std::size_t size) {
    if (size > largest) throw std::bad_alloc();
    const std::lock_guard guard(mutex_);
    Piece*& list = free_[units(size)];
    if (list != nullptr) return std::exchange(list, list->next);
    if (left_ < units(size) * unit) add_chunk();
    left_ -= units(size) * unit;
    return std::exchange(next_, next_ + units(size) * unit);
  }
  void free(void* at, std::size_t size) noexcept {
    wipe(at, size);
    const std::lock_guard guard(mutex_);
    Piece*& list = free_[units(size)];
    list = ::new (at) Piece{list};
  }
  [[nodiscard]] bool locked() const noexcept { return locked_.load(std::memory_order_relaxed); }

 private:
  struct Piece {
    Piece* next;
  };
  static std::size_t units(std::size_t size) noexcept { return (size + unit - 1) / unit; }

  void add_chunk() {
    void* const pages =
        ::mmap(nullptr, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    if (::mlock(pages, chunk) != 0) locked_.store(false, std::memory_order_relaxed);
    ::madvise(pages, chunk, MADV_DONTDUMP);
    next_ = static_cast<std::byte*>(pages);
    left_ = chunk;
  }

  std::mutex mutex_;
  std::array<Piece*, largest / unit + 1> free_{};
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  std::atomic<bool> locked_{true};
};

// Never destroyed: keys in other static objects may outlive it.
LockedPages& locked_pages() {
  static auto* const pages = new LockedPages;
  return *pages;
}

}  // namespace

void* allocate_locked(std::size_t size) { return locked_pages().allocate(size); }
void free_locked(void* at, std::size_t size) noexcept { locked_pages().free(at, size); }
bool secrets_are_locked() noexcept { return locked_pages().locked(); }

}  // namespace warren::crypto
