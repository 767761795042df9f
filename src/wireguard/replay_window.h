/// Which counters of a session were received already (RFC 6479).
///
/// A ring of 64-bit words holds one bit per counter. The word of the newest counter is cleared when
/// the window reaches it, so the ring has one word more than the window needs:
///
///             newest - 8191        newest
///     old ────────┤  |  |  |  |  |  ├──────── ahead: moves the window, clears words
///     refused     each counter once
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "wireguard/protocol.h"

namespace warren::wireguard {

class ReplayWindow {
 public:
  /// So many counters, back from the newest one, may arrive in any order.
  static constexpr std::uint64_t size = 8192;

  /// False for counters that were accepted before, that are too old to tell, and that no sender may
  /// use. Before decryption it saves the work; it proves nothing, for anyone can write a counter.
  [[nodiscard]] bool may_accept(std::uint64_t counter) const noexcept {
    if (counter >= limits::reject_after_messages) return false;
    if (counter >= next_) return true;
    return next_ - counter <= size && (word(counter) & bit(counter)) == 0;
  }

  /// Accepts a counter once; for packets that are proven to be genuine.
  [[nodiscard]] bool accept(std::uint64_t counter) noexcept {
    if (!may_accept(counter)) return false;
    if (counter >= next_) advance(counter);
    word(counter) |= bit(counter);
    return true;
  }

 private:
  static constexpr std::uint64_t words = size / 64 + 1;

  void advance(std::uint64_t counter) noexcept {
    // Nothing was received yet where next_ is 0; word 0 is clear then.
    const auto newest_word = next_ == 0 ? 0 : (next_ - 1) / 64;
    const auto steps = std::min(counter / 64 - newest_word, words);
    for (std::uint64_t i = 1; i <= steps; ++i) ring_[(newest_word + i) % words] = 0;
    next_ = counter + 1;
  }
  [[nodiscard]] std::uint64_t& word(std::uint64_t counter) noexcept {
    return ring_[counter / 64 % words];
  }
  [[nodiscard]] const std::uint64_t& word(std::uint64_t counter) const noexcept {
    return ring_[counter / 64 % words];
  }
  static constexpr std::uint64_t bit(std::uint64_t counter) noexcept {
    return std::uint64_t{1} << counter % 64;
  }

  std::uint64_t next_ = 0;  ///< the newest counter, and one
  std::array<std::uint64_t, words> ring_{};
};

}  // namespace warren::wireguard
