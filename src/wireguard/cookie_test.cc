#include "wireguard/cookie.h"

#include <gtest/gtest.h>

#include "wireguard/handshake_testing.h"

namespace warren::wireguard {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using Verdict = CookieChecker::Verdict;

const Buffer here{10, 0, 0, 1, 0xca, 0x6c};
const Buffer elsewhere{10, 0, 0, 2, 0xca, 0x6c};

Initiation stamped(Peer& sender, Time now) {
  auto message = sender.handshake.initiate(sender.identity, 5, clock_at(now.time_since_epoch()));
  sender.jar.stamp(*message, now);
  return *message;
}

TEST(Cookie, IsAcceptedFromWireguardGo) {
  Pair pair{key_from_hex(vector::a_private), key_from_hex(vector::b_private)};
  auto message = *parse<Initiation>(from_hex(vector::initiation));
  pair.a.jar.stamp(message, at(0s));
  EXPECT_EQ(to_hex(bytes_of(message)), vector::initiation);
  ASSERT_TRUE(pair.a.jar.accept(*parse<CookieReply>(from_hex(vector::cookie_reply)), at(1s)));
  pair.a.jar.stamp(message, at(2s));
  EXPECT_EQ(to_hex(message.mac2), vector::mac2_after_cookie);
}

TEST(Cookie, ProvesTheAddress) {
  Pair pair;
  const auto first = stamped(pair.a, at(1s));
  EXPECT_EQ(first.mac2, Mac{});
  EXPECT_EQ(pair.b.checker.check(first, here, at(1s)), Verdict::mac1);
  const auto reply = pair.b.checker.reply(first, here, at(1s));
  EXPECT_EQ(reply.receiver, 5U);
  ASSERT_TRUE(pair.a.jar.accept(reply, at(1s)));
  auto second = stamped(pair.a, at(2s));
  EXPECT_EQ(pair.b.checker.check(second, here, at(2s)), Verdict::mac1_and_mac2);
  EXPECT_EQ(pair.b.checker.check(second, elsewhere, at(2s)), Verdict::mac1);
  EXPECT_EQ(pair.b.checker.check(second, {}, at(2s)), Verdict::mac1);
  for (auto& byte : second.mac2) {
    byte ^= 0x10;
    EXPECT_EQ(pair.b.checker.check(second, here, at(2s)), Verdict::mac1);
    byte ^= 0x10;
  }
  second.mac1[3] ^= 1;
  EXPECT_EQ(pair.b.checker.check(second, here, at(2s)), Verdict::invalid);
}

TEST(Cookie, WorksForResponsesToo) {
  Pair pair;
  auto answered = answer(pair.b, stamped(pair.a, at(1s)), 6, at(1s));
  ASSERT_TRUE(answered);
  pair.b.jar.stamp(answered->message, at(1s));
  EXPECT_EQ(pair.a.checker.check(answered->message, here, at(1s)), Verdict::mac1);
  ASSERT_TRUE(pair.b.jar.accept(pair.a.checker.reply(answered->message, here, at(1s)), at(1s)));
  pair.b.jar.stamp(answered->message, at(1s));
  EXPECT_EQ(pair.a.checker.check(answered->message, here, at(1s)), Verdict::mac1_and_mac2);
}

TEST(Cookie, LivesTwoMinutes) {
  Pair pair;
  const auto first = stamped(pair.a, at(10s));
  ASSERT_TRUE(pair.a.jar.accept(pair.b.checker.reply(first, here, at(10s)), at(10s)));
  EXPECT_EQ(pair.b.checker.check(stamped(pair.a, at(124s)), here, at(129s)),
            Verdict::mac1_and_mac2);
  const auto valid_so_long = stamped(pair.a, at(124s));
  EXPECT_EQ(pair.b.checker.check(valid_so_long, here, at(130s)), Verdict::mac1);
  EXPECT_EQ(stamped(pair.a, at(125s)).mac2, Mac{});
  // A new secret: the old cookie is worth nothing.
  (void)pair.b.checker.reply(first, elsewhere, at(131s));
  EXPECT_EQ(pair.b.checker.check(valid_so_long, here, at(131s)), Verdict::mac1);
}

TEST(Cookie, AnswersTheLastMessageOnce) {
  Pair pair;
  const auto first = stamped(pair.a, at(1s));
  const auto to_first = pair.b.checker.reply(first, here, at(1s));
  const auto second = stamped(pair.a, at(2s));
  EXPECT_FALSE(pair.a.jar.accept(to_first, at(2s)));
  const auto to_second = pair.b.checker.reply(second, here, at(2s));
  EXPECT_TRUE(pair.a.jar.accept(to_second, at(2s)));
  EXPECT_FALSE(pair.a.jar.accept(to_second, at(2s)));
  EXPECT_FALSE(CookieJar(pair.b.identity.public_key()).accept(to_second, at(2s)));
}

TEST(Cookie, RefusesEveryChangedByteOfAReply) {
  Pair pair{key_from_hex(vector::a_private), key_from_hex(vector::b_private)};
  auto message = *parse<Initiation>(from_hex(vector::initiation));
  pair.a.jar.stamp(message, at(0s));
  for (std::size_t i = 0; i < sizeof(CookieReply); ++i) {
    Buffer bytes = from_hex(vector::cookie_reply);
    bytes[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    const auto bad = parse<CookieReply>(bytes);
    ASSERT_EQ(bad.has_value(), i >= 4) << i;
    if (i >= 8) {  // the index is only for finding the peer
      EXPECT_FALSE(pair.a.jar.accept(*bad, at(1s))) << i;
    }
  }
  EXPECT_TRUE(pair.a.jar.accept(*parse<CookieReply>(from_hex(vector::cookie_reply)), at(1s)));
}

}  // namespace
}  // namespace warren::wireguard
