/// How many handshakes a source may ask for while the machine is under load: 20 in a second and 5 at
/// once, for an IPv4 address or an IPv6 /64, which is what one customer has.
///
/// The token bucket of a source is one number, the time at which it will be full again (the "virtual
/// scheduling" form, ITU-T I.371): a request moves it on by 50 ms, and is refused where it is further
/// away than a burst is long. A source whose bucket is full is the same as one that was never seen, so
/// entries age by themselves and are overwritten where they stand. The table has a fixed size. Where all
/// eight places that a source can have are taken, it is refused: only sources that proved by a cookie
/// that they receive at their address get here, so that takes thousands of real ones.
#pragma once

#include <array>
#include <span>
#include <vector>

#include <warren/address.h>

#include "wireguard/protocol.h"

namespace warren::wireguard {

class RateLimiter {
 public:
  static constexpr Duration interval = std::chrono::milliseconds(50);
  static constexpr unsigned burst = 5;
  static constexpr std::size_t capacity = 8192;  ///< sources at a time, in 128 KiB

  /// 128 random bits, so that nobody chooses addresses that share a place.
  explicit RateLimiter(std::array<std::uint64_t, 2> secret);

  /// Whether one more handshake of `source` may be worked on.
  [[nodiscard]] bool allow(const IpAddress& source, Time now) noexcept;

 private:
  static constexpr std::size_t ways = 8;

  struct Bucket {
    std::uint64_t source = 0;
    Time full_at = Time::min();
  };

  [[nodiscard]] std::span<Bucket, ways> places(std::uint64_t source) noexcept;

  std::array<std::uint64_t, 2> secret_;
  std::vector<Bucket> buckets_;
};

}  // namespace warren::wireguard
