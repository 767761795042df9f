#include "wireguard/rate_limiter.h"

#include <algorithm>

#include "wire/bytes.h"

namespace warren::wireguard {

namespace {

/// The network part of IPv6. IPv4 addresses stand in 0:ffff::/32, from where nothing is sent.
std::uint64_t source_key(const IpAddress& address) noexcept {
  const auto* bytes = std::as_bytes(std::span(address.bytes)).data();
  const std::uint64_t first = wire::load32(bytes);
  return address.ipv6 ? first << 32 | wire::load32(bytes + 4) : 0xffff'0000'0000U | first;
}

__extension__ using Wide = unsigned __int128;

std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) noexcept {
  const auto product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
}

}  // namespace

RateLimiter::RateLimiter(std::array<std::uint64_t, 2> secret)
    : secret_(secret), buckets_(capacity) {}

std::span<RateLimiter::Bucket, RateLimiter::ways> RateLimiter::places(
    std::uint64_t source) noexcept {
  const auto hash =
      multiply_fold(multiply_fold(source ^ secret_[0], secret_[1] | 1), secret_[0] | 1);
  const auto set = hash % (capacity / ways);
  return std::span<Bucket, ways>(buckets_.data() + set * ways, ways);
}

bool RateLimiter::allow(const IpAddress& source, Time now) noexcept {
  const auto key = source_key(source);
  const auto set = places(key);
  auto bucket = std::ranges::find(set, key, &Bucket::source);
  if (bucket == set.end())
    bucket = std::ranges::find_if(set, [&](const Bucket& b) { return b.full_at <= now; });
  if (bucket == set.end()) return false;

  const auto full_at = bucket->source == key ? std::max(bucket->full_at, now) : now;
  if (full_at - now > (burst - 1) * interval) return false;
  *bucket = {key, full_at + interval};
  return true;
}

}  // namespace warren::wireguard
