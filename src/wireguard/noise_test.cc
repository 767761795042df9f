#include "wireguard/noise.h"

#include <gtest/gtest.h>

#include "wireguard/handshake_testing.h"

namespace warren::wireguard {
namespace {

using namespace testing;
using namespace std::chrono_literals;

Pair pair_of_vector() {
  Pair pair{key_from_hex(vector::a_private), key_from_hex(vector::b_private)};
  pair.a.handshake.set_preshared_key(key_from_hex(vector::preshared));
  pair.b.handshake.set_preshared_key(key_from_hex(vector::preshared));
  return pair;
}

TEST(Noise, WritesTheMessagesOfWireguardGo) {
  auto pair = pair_of_vector();
  auto initiation = pair.a.handshake.initiate(pair.a.identity, 0x06fff8f1,
                                              {array_from_hex<12>(vector::timestamp)},
                                              key_from_hex(vector::a_ephemeral));
  ASSERT_TRUE(initiation);
  pair.a.jar.stamp(*initiation, at(0s));
  EXPECT_EQ(to_hex(bytes_of(*initiation)), vector::initiation);

  auto opened = OpenedInitiation::open(pair.b.identity, *initiation);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->initiator(), pair.a.identity.public_key());
  ASSERT_TRUE(pair.b.handshake.accept(*opened, at(0s)));
  auto answered = pair.b.handshake.respond(*opened, 0x6a635c55, key_from_hex(vector::b_ephemeral));
  ASSERT_TRUE(answered);
  pair.b.jar.stamp(answered->message, at(0s));
  EXPECT_EQ(to_hex(bytes_of(answered->message)), vector::response);

  const auto keys = pair.a.handshake.finish(pair.a.identity, answered->message);
  ASSERT_TRUE(keys);
  EXPECT_EQ(to_hex(keys->send), vector::a_to_b);
  EXPECT_EQ(to_hex(keys->receive), vector::b_to_a);
  EXPECT_TRUE(match({*keys, answered->keys}));
}

TEST(Noise, ShakesHandsBothWays) {
  for (const bool preshared : {false, true}) {
    Pair pair;
    if (preshared) {
      const Key key = Key::random();
      pair.a.handshake.set_preshared_key(key);
      pair.b.handshake.set_preshared_key(key);
    }
    const auto one = shake_hands(pair.a, pair.b, 1s);
    ASSERT_TRUE(one);
    EXPECT_TRUE(match(*one));
    const auto two = shake_hands(pair.b, pair.a, 2s);
    ASSERT_TRUE(two);
    EXPECT_TRUE(match(*two));
    const auto three = shake_hands(pair.a, pair.b, 3s);
    ASSERT_TRUE(three);
    EXPECT_FALSE(one->initiator.send == three->initiator.send);
  }
}

TEST(Noise, NeedsTheSamePresharedKey) {
  Pair pair;
  pair.a.handshake.set_preshared_key(Key::random());
  EXPECT_FALSE(shake_hands(pair.a, pair.b, 1s));
  EXPECT_FALSE(shake_hands(pair.b, pair.a, 2s));
}

TEST(Noise, RefusesStrangers) {
  Pair pair;
  Pair others;
  const auto message = others.a.handshake.initiate(others.a.identity, 1, clock_at(1s));
  EXPECT_FALSE(OpenedInitiation::open(pair.b.identity, *message));  // for another responder
  // Another initiator: it opens, but is not whom this Handshake is for.
  Peer stranger{crypto::x25519_generate(), pair.b.identity.public_key()};
  const auto strange = stranger.handshake.initiate(stranger.identity, 1, clock_at(1s));
  auto opened = OpenedInitiation::open(pair.b.identity, *strange);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->initiator(), stranger.identity.public_key());
  EXPECT_FALSE(pair.b.handshake.accept(*opened, at(1s)));
  EXPECT_FALSE(pair.b.handshake.respond(*opened, 2));
}

// Whoever knows a's public key, but not its private one, can make what opens; it is not accepted.
TEST(Noise, RefusesWhoOnlyClaimsAPublicKey) {
  Pair pair;
  class Liar {
   public:
    static Initiation lie(const Pair& pair) {
      const Key ephemeral = crypto::x25519_generate();
      Initiation message;
      message.ephemeral = crypto::x25519_public(ephemeral);
      HandshakeState state(pair.b.identity.public_key());
      state.mix_hash(message.ephemeral);
      state.mix_key(message.ephemeral);
      Key shared;
      EXPECT_TRUE(x25519(shared, ephemeral, pair.b.identity.public_key()));
      const Key key = state.mix_key_and_derive(shared);
      EXPECT_TRUE(state.seal(message.sealed_static, key, pair.a.identity.public_key()));
      EXPECT_TRUE(state.seal(message.sealed_timestamp, state.mix_key_and_derive(shared),
                             clock_at(1s).bytes));
      return message;
    }
  };
  auto opened = OpenedInitiation::open(pair.b.identity, Liar::lie(pair));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->initiator(), pair.a.identity.public_key());
  EXPECT_FALSE(pair.b.handshake.accept(*opened, at(1s)));
}

TEST(Noise, RefusesReplaysOldTimestampsAndFloods) {
  Pair pair;
  const auto first = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(100s));
  ASSERT_TRUE(answer(pair.b, *first, 2, at(100s)));
  EXPECT_FALSE(answer(pair.b, *first, 2, at(100s)));
  EXPECT_FALSE(answer(pair.b, *first, 2, at(1000s)));
  // One whose clock is behind, with the same key.
  Peer old{pair.a.identity.private_key(), pair.b.identity.public_key()};
  EXPECT_FALSE(
      answer(pair.b, *old.handshake.initiate(old.identity, 1, clock_at(99s)), 2, at(200s)));
  // Newer, but too soon.
  EXPECT_FALSE(answer(pair.b, *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(101s)), 2,
                      at(100s + 19ms)));
  EXPECT_TRUE(answer(pair.b, *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(101s)), 2,
                     at(100s + 20ms)));
}

TEST(Noise, GoesOnWhereTheClockGoesBack) {
  Pair pair;
  ASSERT_TRUE(shake_hands(pair.a, pair.b, 1000s));
  for (int i = 1; i < 300; ++i) {
    const auto message = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(10s));
    ASSERT_TRUE(answer(pair.b, *message, 2, at(1000s + i * 1s))) << i;
  }
}

TEST(Noise, AnswersAnInitiationOnceAndOnlyTheLatest) {
  Pair pair;
  const auto first = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  const auto to_first = answer(pair.b, *first, 7, at(1s));
  ASSERT_TRUE(to_first);
  const auto second = pair.a.handshake.initiate(pair.a.identity, 2, clock_at(2s));
  EXPECT_EQ(pair.a.handshake.pending(), 2U);
  const auto to_second = answer(pair.b, *second, 8, at(2s));
  ASSERT_TRUE(to_second);
  EXPECT_FALSE(pair.a.handshake.finish(pair.a.identity, to_first->message));
  // The old answer under the new index.
  auto mixed = to_first->message;
  mixed.receiver = 2U;
  EXPECT_FALSE(pair.a.handshake.finish(pair.a.identity, mixed));
  EXPECT_TRUE(pair.a.handshake.finish(pair.a.identity, to_second->message));
  EXPECT_FALSE(pair.a.handshake.finish(pair.a.identity, to_second->message));
  EXPECT_FALSE(pair.a.handshake.pending());
}

TEST(Noise, LetsBothInitiateAtOnce) {
  Pair pair;
  const auto from_a = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  const auto from_b = pair.b.handshake.initiate(pair.b.identity, 2, clock_at(1s));
  const auto by_b = answer(pair.b, *from_a, 3, at(1s));
  const auto by_a = answer(pair.a, *from_b, 4, at(1s));
  ASSERT_TRUE(by_a);
  ASSERT_TRUE(by_b);
  const auto a_keys = pair.a.handshake.finish(pair.a.identity, by_b->message);
  const auto b_keys = pair.b.handshake.finish(pair.b.identity, by_a->message);
  ASSERT_TRUE(a_keys);
  ASSERT_TRUE(b_keys);
  EXPECT_TRUE(match({*a_keys, by_b->keys}));
  EXPECT_TRUE(match({*b_keys, by_a->keys}));
}

TEST(Noise, RefusesEveryChangedByteOfAnInitiation) {
  auto pair = pair_of_vector();
  const auto good = parse<Initiation>(from_hex(vector::initiation));
  ASSERT_TRUE(good);
  for (std::size_t i = 0; i < sizeof *good; ++i) {
    Buffer bytes = from_hex(vector::initiation);
    bytes[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    const auto bad = parse<Initiation>(bytes);
    if (i < 4) {
      EXPECT_FALSE(bad) << i;
      continue;
    }
    const auto verdict = pair.b.checker.check(*bad, {}, at(0s));
    // MAC2 counts only under load: cookie_test.cc.
    EXPECT_EQ(verdict == CookieChecker::Verdict::invalid, i < 132) << i;
    // Whoever knows b's public key can make MAC1 right. The index is what the sender says it is.
    if (i >= 8 && i < 116) {
      EXPECT_FALSE(answer(pair.b, *bad, 2, at(0s))) << i;
    }
  }
  EXPECT_EQ(pair.b.checker.check(*good, {}, at(0s)), CookieChecker::Verdict::mac1);
  EXPECT_TRUE(answer(pair.b, *good, 2, at(0s)));
}

TEST(Noise, RefusesEveryChangedByteOfAResponse) {
  auto pair = pair_of_vector();
  ASSERT_TRUE(pair.a.handshake.initiate(pair.a.identity, 0x06fff8f1,
                                        {array_from_hex<12>(vector::timestamp)},
                                        key_from_hex(vector::a_ephemeral)));
  for (std::size_t i = 0; i < sizeof(Response); ++i) {
    Buffer bytes = from_hex(vector::response);
    bytes[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    const auto bad = parse<Response>(bytes);
    if (i < 4) {
      EXPECT_FALSE(bad) << i;
      continue;
    }
    EXPECT_EQ(pair.a.checker.check(*bad, {}, at(0s)) == CookieChecker::Verdict::invalid, i < 76)
        << i;
    if (i >= 8 && i < 60) {
      EXPECT_FALSE(pair.a.handshake.finish(pair.a.identity, *bad)) << i;
    }
  }
  const auto good = parse<Response>(from_hex(vector::response));
  ASSERT_TRUE(good);
  EXPECT_TRUE(pair.a.handshake.finish(pair.a.identity, *good));
}

TEST(Noise, RefusesKeysOfSmallOrder) {
  const PublicKey one{1};
  Pair pair;
  Peer weak{crypto::x25519_generate(), one};
  EXPECT_FALSE(weak.handshake.initiate(weak.identity, 1, clock_at(1s)));
  Initiation initiation;
  initiation.ephemeral = one;
  EXPECT_FALSE(OpenedInitiation::open(pair.b.identity, initiation));
  const auto message = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  auto answered = answer(pair.b, *message, 2, at(1s));
  ASSERT_TRUE(answered);
  answered->message.ephemeral = one;
  EXPECT_FALSE(pair.a.handshake.finish(pair.a.identity, answered->message));
}

TEST(Noise, ForgetsAnInitiationWhenThePrivateKeyChanges) {
  Pair pair;
  const auto message = pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  const auto answered = answer(pair.b, *message, 2, at(1s));
  const Identity fresh(crypto::x25519_generate());
  pair.a.handshake.set_identity(fresh);
  EXPECT_FALSE(pair.a.handshake.pending());
  EXPECT_FALSE(pair.a.handshake.finish(fresh, answered->message));
  // With its new key, a is a stranger to b; b gets to know it.
  Peer b_again{pair.b.identity.private_key(), fresh.public_key()};
  const auto again = pair.a.handshake.initiate(fresh, 1, clock_at(2s));
  ASSERT_TRUE(again);
  EXPECT_FALSE(answer(pair.b, *again, 2, at(2s)));
  EXPECT_TRUE(answer(b_again, *again, 2, at(2s)));
}

TEST(Timestamp, IsOrderedAndCoarse) {
  EXPECT_EQ(to_hex(Timestamp::at(0s).bytes), "400000000000000a00000000");
  EXPECT_EQ(to_hex(Timestamp::at(1'700'000'000s + 300ms).bytes), "400000006553f10a11000000");
  EXPECT_LT(Timestamp::at(1s), Timestamp::at(1s + 20ms));
  EXPECT_LT(Timestamp::at(255s), Timestamp::at(256s));
  EXPECT_EQ(Timestamp::at(1s), Timestamp::at(1s + 1ms));
  EXPECT_LT(Timestamp::at(1s), Timestamp::at(1s).next());
  Timestamp full;
  full.bytes.fill(0xff);
  full.bytes[0] = 1;
  EXPECT_EQ(to_hex(full.next().bytes), "020000000000000000000000");
}

}  // namespace
}  // namespace warren::wireguard
