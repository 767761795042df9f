/// Memory for keys, and what may be done with it.
///
/// A key on the stack is a SecretBytes, which wipes itself. What lives long (the keys of peers and
/// sessions) is made with make_locked(): in pages that are never swapped out (as far as
/// RLIMIT_MEMLOCK allows, see secrets_are_locked()) and are left out of core dumps.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "crypto/bytes.h"

namespace warren::crypto {

/// Overwrites; the compiler never leaves it out.
void wipe(void* at, std::size_t size) noexcept;

/// Takes as long wherever they differ. False for different sizes, which are no secret.
[[nodiscard]] bool constant_time_equal(Bytes a, Bytes b) noexcept;

/// From the kernel's generator. Ends the process if there is none: nothing could be kept secret.
void random_bytes(std::span<std::uint8_t> out) noexcept;

/// N secret bytes, all zero at first, wiped at the end. Comparing takes constant time.
template <std::size_t N>
class SecretBytes {
 public:
  static constexpr std::size_t length = N;

  SecretBytes() noexcept = default;
  /// The array is the caller's to wipe.
  explicit SecretBytes(const std::array<std::uint8_t, N>& bytes) noexcept : bytes_(bytes) {}
  SecretBytes(const SecretBytes&) noexcept = default;
  SecretBytes& operator=(const SecretBytes&) noexcept = default;
  ~SecretBytes() { clear(); }

  [[nodiscard]] static SecretBytes random() noexcept {
    SecretBytes out;
    random_bytes(out.bytes_);
    return out;
  }

  [[nodiscard]] std::uint8_t* data() noexcept { return bytes_.data(); }
  [[nodiscard]] const std::uint8_t* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] static constexpr std::size_t size() noexcept { return N; }
  [[nodiscard]] auto begin() noexcept { return bytes_.begin(); }
  [[nodiscard]] auto end() noexcept { return bytes_.end(); }
  [[nodiscard]] auto begin() const noexcept { return bytes_.begin(); }
  [[nodiscard]] auto end() const noexcept { return bytes_.end(); }
  [[nodiscard]] std::span<std::uint8_t, N> bytes() noexcept { return bytes_; }

  void clear() noexcept { wipe(bytes_.data(), N); }
  [[nodiscard]] bool is_zero() const noexcept { return constant_time_equal(*this, SecretBytes{}); }
  [[nodiscard]] bool operator==(const SecretBytes& other) const noexcept {
    return constant_time_equal(*this, other);
  }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

/// A symmetric key, a private key or a chaining key.
using Key = SecretBytes<32>;

/// Memory of the locked pages: at most one page, aligned for any type. For set-up and handshakes;
/// takes a lock. Throws std::bad_alloc.
[[nodiscard]] void* allocate_locked(std::size_t size);
/// Wipes it too.
void free_locked(void* at, std::size_t size) noexcept;

/// Whether every page given out so far is locked. False where RLIMIT_MEMLOCK is too low, and in a
/// child after fork(), which inherits no locks.
[[nodiscard]] bool secrets_are_locked() noexcept;

template <class T>
struct FreeLocked {
  void operator()(T* object) const noexcept {
    object->~T();
    free_locked(object, sizeof(T));
  }
};
template <class T>
using Locked = std::unique_ptr<T, FreeLocked<T>>;

template <class T, class... Arguments>
  requires std::is_nothrow_constructible_v<T, Arguments...>
[[nodiscard]] Locked<T> make_locked(Arguments&&... arguments) {
  static_assert(alignof(T) <= 64 && sizeof(T) <= 4096);
  return Locked<T>{::new (allocate_locked(sizeof(T))) T(std::forward<Arguments>(arguments)...)};
}

}  // namespace warren::crypto
