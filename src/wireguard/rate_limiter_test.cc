#include "wireguard/rate_limiter.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace warren::wireguard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

IpAddress address(std::string_view text) { return IpAddress::parse(text).value(); }

IpAddress ipv4(std::uint32_t value) {
  IpAddress out;
  for (unsigned i = 0; i < 4; ++i) out.bytes[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  return out;
}

constexpr std::array<std::uint64_t, 2> secret = {0x0123456789abcdef, 0xfedcba9876543210};

TEST(RateLimiter, LetsABurstThroughAndThenTwentyASecond) {
  RateLimiter limiter(secret);
  const auto host = address("192.0.2.1");
  Time now{seconds(1)};
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.allow(host, now)) << i;
  EXPECT_FALSE(limiter.allow(host, now));
  now += milliseconds(49);
  EXPECT_FALSE(limiter.allow(host, now));
  now += milliseconds(1);
  EXPECT_TRUE(limiter.allow(host, now));
  EXPECT_FALSE(limiter.allow(host, now));

  int allowed = 0;
  for (int i = 0; i < 10000; ++i) allowed += limiter.allow(host, now += milliseconds(1)) ? 1 : 0;
  EXPECT_EQ(allowed, 200) << "in ten seconds";
  now += milliseconds(250);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.allow(host, now)) << "the burst is back";
  EXPECT_FALSE(limiter.allow(host, now));
}

TEST(RateLimiter, CountsEachIpv4AddressAndEachIpv6NetworkAlone) {
  RateLimiter limiter(secret);
  const Time now{seconds(1)};
  const auto exhaust = [&](std::string_view text) {
    int allowed = 0;
    while (limiter.allow(address(text), now)) ++allowed;
    return allowed;
  };
  EXPECT_EQ(exhaust("192.0.2.1"), 5);
  EXPECT_EQ(exhaust("192.0.2.2"), 5);
  EXPECT_EQ(exhaust("2001:db8:1:2::1"), 5);
  EXPECT_EQ(exhaust("2001:db8:1:2:ffff::1"), 0) << "the same /64";
  EXPECT_EQ(exhaust("2001:db8:1:3::1"), 5);
  EXPECT_EQ(exhaust("::"), 5) << "the key of which is that of an unused place";
  EXPECT_EQ(exhaust("0.0.0.0"), 5);
}

TEST(RateLimiter, IsBoundedAndForgets) {
  RateLimiter limiter(secret);
  const Time now{seconds(1)};
  std::size_t tracked = 0;
  for (std::uint32_t i = 0; i < 100000; ++i) tracked += limiter.allow(ipv4(i), now) ? 1 : 0;
  EXPECT_LE(tracked, RateLimiter::capacity);
  EXPECT_GT(tracked, RateLimiter::capacity * 9 / 10) << "the places are used evenly";
  EXPECT_FALSE(limiter.allow(ipv4(0xffff'ffff), now));
  const Time later = now + RateLimiter::interval;
  EXPECT_TRUE(limiter.allow(ipv4(0xffff'ffff), later)) << "all buckets are full again";
  tracked = 0;
  for (std::uint32_t i = 0; i < 2000; ++i) tracked += limiter.allow(ipv4(i << 8), later) ? 1 : 0;
  EXPECT_EQ(tracked, 2000U) << "a quarter of the capacity fits";
}

// Tokens in nanoseconds, as a bucket that fills.
TEST(RateLimiter, AgreesWithABucketOfTokens) {
  RateLimiter limiter(secret);
  std::mt19937_64 random(11);
  struct Tokens {
    Duration tokens = RateLimiter::burst * RateLimiter::interval;
    Time last{};
  };
  std::map<std::uint32_t, Tokens> oracle;
  Time now{};
  for (int step = 0; step < 100000; ++step) {
    now += Duration(random() % 4'000'000);
    const auto host = static_cast<std::uint32_t>(random() % 30);
    auto& bucket = oracle[host];
    const Duration most = RateLimiter::burst * RateLimiter::interval;
    bucket.tokens = std::min(most, bucket.tokens + (now - bucket.last));
    bucket.last = now;
    const bool expected = bucket.tokens >= RateLimiter::interval;
    if (expected) bucket.tokens -= RateLimiter::interval;
    ASSERT_EQ(limiter.allow(ipv4(host), now), expected) << step;
  }
}

}  // namespace
}  // namespace warren::wireguard
