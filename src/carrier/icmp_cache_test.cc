// The cache of the kernel programs: it says what the tables say, from the very next packet after a
// change, and every packet is counted once.
#include <sched.h>

#include "carrier/flow_cache.h"
#include "carrier/icmp_codec.h"
#include "carrier/testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;

constexpr std::uint16_t tag = 0x3fa2;
constexpr std::uint16_t other_tag = 0x1111;

class IcmpCacheTest : public ProgramsTest {
 protected:
  void SetUp() override {
    ProgramsTest::SetUp();
    if (!programs_) return;
    // Each processor has a cache of its own.
    cpu_set_t one;
    ASSERT_EQ(::sched_getaffinity(0, sizeof former_, &former_), 0);
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  }
  void TearDown() override {
    if (programs_) ::sched_setaffinity(0, sizeof former_, &former_);
  }

  /// The tag with which a datagram leaves; 0 where it leaves as it is.
  std::uint16_t tag_sent(const PacketSpec& spec) {
    const auto sent = programs_->carry(build(spec));
    EXPECT_EQ(sent.verdict, go_on);
    return sent.bytes == build(spec) ? 0 : tag_of(spec, sent.bytes);
  }
  /// Whether a client's message with this tag becomes the datagram.
  bool is_restored(const PacketSpec& spec, std::uint16_t user) {
    auto message = build(spec);
    EXPECT_EQ(carry_packet(std::span(message).subspan(14), IcmpDirection::request, Tag{user}),
              CodecStatus::done);
    const auto received = programs_->restore(message);
    EXPECT_EQ(received.verdict, go_on);
    EXPECT_TRUE(received.bytes == message || received.bytes == build(spec));
    return received.bytes == build(spec);
  }
  /// Writes a table behind the back of the cache.
  template <class Key, class Value>
  static void set_unnoticed(bpf_map* map, const Key& key, const Value& value) {
    Programs::update(map, key, value);
  }
  void set_server_tag_unnoticed(const PacketSpec& spec, std::uint16_t to) {
    icmp_server server{};
    server.tag = to;
    set_unnoticed(programs_->skeleton().maps.servers,
                  icmp_server_key{address_of(spec, spec.destination_host),
                                  wire::network(spec.destination_port), 0},
                  server);
  }
  void let_the_cache_age() {
    auto* map = programs_->skeleton().maps.cache;
    std::vector<icmp_cached> place(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    for (std::uint32_t i = 0; i < ICMP_CACHE_SIZE; ++i) {
      ASSERT_TRUE(Programs::lookup(map, i, *place.data()));
      for (auto& cached : place) cached.time -= cached.key.way != 0 ? cache_holds_ns : 0;
      ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(map), &i, place.data(), BPF_ANY), 0);
    }
  }
  [[nodiscard]] std::size_t cached_flows() const {
    return programs_->maps().cache.read()->counted.size();
  }

  cpu_set_t former_{};
};

TEST_F(IcmpCacheTest, AnAnswerHoldsUntilSomethingChanges) {
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6);
    programs_->add_server(spec, tag);
    EXPECT_EQ(tag_sent(spec), tag);
    set_server_tag_unnoticed(spec, other_tag);
    EXPECT_EQ(tag_sent(spec), tag) << "nothing was cached";
    programs_->outdate_cache();
    EXPECT_EQ(tag_sent(spec), other_tag);
  }
}

TEST_F(IcmpCacheTest, AnAnswerGetsOld) {
  const auto spec = udp_packet(false);
  programs_->add_server(spec, tag);
  EXPECT_EQ(tag_sent(spec), tag);
  set_server_tag_unnoticed(spec, other_tag);
  EXPECT_EQ(tag_sent(spec), tag);
  let_the_cache_age();
  EXPECT_EQ(tag_sent(spec), other_tag);
}

TEST_F(IcmpCacheTest, AnAnswerIsOfOneFlow) {
  const auto spec = udp_packet(false);
  programs_->add_server(spec, tag);
  programs_->add_user(tag, 51820);
  EXPECT_EQ(tag_sent(spec), tag);
  EXPECT_TRUE(is_restored(spec, tag));
  // All that differ in one thing, and belong to nobody.
  auto other_port = spec;
  other_port.destination_port = 51821;
  auto other_host = spec;
  other_host.destination_host = 77;
  auto other_family = udp_packet(true);
  for (const auto& other : {other_port, other_host, other_family}) EXPECT_EQ(tag_sent(other), 0);
  EXPECT_FALSE(is_restored(spec, other_tag));
  auto reply = build(spec);  // with the tag and the address of a client that has a session
  ASSERT_EQ(carry_packet(std::span(reply).subspan(14), IcmpDirection::reply, Tag{tag}),
            CodecStatus::done);
  EXPECT_EQ(hex(programs_->restore(reply).bytes), hex(reply));
}

TEST_F(IcmpCacheTest, WhatIsRemovedEndsWithTheNextPacket) {
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6);
    programs_->add_server(spec, tag);
    programs_->add_user(tag, 51820);
    const auto key = icmp_server_key{address_of(spec, spec.destination_host),
                                     wire::network(spec.destination_port), 0};
    EXPECT_EQ(tag_sent(spec), tag);
    ASSERT_TRUE(programs_->maps().servers.erase(key));
    EXPECT_EQ(tag_sent(spec), 0);

    EXPECT_TRUE(is_restored(spec, tag));
    EXPECT_EQ(tag_sent(answer_to(spec)), tag);
    ASSERT_TRUE(programs_->maps().users.erase(icmp_user_key{tag, 0, 0}));
    EXPECT_FALSE(is_restored(spec, tag));
    EXPECT_EQ(programs_->carry(build(answer_to(spec))).verdict, shot) << "it would leave in plain";
  }
}

TEST_F(IcmpCacheTest, AReplyIsForgottenWithItsServer) {
  const auto spec = udp_packet(false);
  programs_->add_server(spec, tag);
  auto reply = build(answer_to(spec));
  ASSERT_EQ(carry_packet(std::span(reply).subspan(14), IcmpDirection::reply, Tag{tag}),
            CodecStatus::done);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(hex(programs_->restore(reply).bytes), hex(build(answer_to(spec))));
  ASSERT_TRUE(programs_->maps().replies.erase(
      icmp_reply_key{address_of(spec, spec.destination_host), tag, 0, 0}));
  EXPECT_EQ(hex(programs_->restore(reply).bytes), hex(reply));
}

TEST_F(IcmpCacheTest, ASessionThatChangesHandsIsNotAnsweredWithTheOldTag) {
  programs_->add_user(tag, 51820);
  programs_->add_user(other_tag, 51820);
  const auto spec = udp_packet(false);
  EXPECT_TRUE(is_restored(spec, tag));
  EXPECT_EQ(tag_sent(answer_to(spec)), tag);
  EXPECT_TRUE(is_restored(spec, other_tag));
  EXPECT_EQ(tag_sent(answer_to(spec)), other_tag);
}

TEST_F(IcmpCacheTest, AnOldAnswerRenewsItsSession) {
  programs_->add_user(tag, 51820);
  const auto spec = udp_packet(false);
  EXPECT_TRUE(is_restored(spec, tag));
  auto session = *programs_->session(spec);
  const auto first = session.last_seen;
  session.last_seen -= 2'000'000'000;
  set_unnoticed(programs_->skeleton().maps.sessions, Programs::session_key(spec), session);
  EXPECT_TRUE(is_restored(spec, tag));
  EXPECT_EQ(programs_->session(spec)->last_seen, session.last_seen) << "nothing was cached";
  let_the_cache_age();
  EXPECT_TRUE(is_restored(spec, tag));
  EXPECT_GE(programs_->session(spec)->last_seen, first);
  // And one that is over ends, though there was an answer of late.
  EXPECT_EQ(tag_sent(answer_to(spec)), tag);
  let_the_cache_age();
  auto user = *programs_->maps().users.find(icmp_user_key{tag, 0, 0});
  user.max_age = 1;
  set_unnoticed(programs_->skeleton().maps.users, icmp_user_key{tag, 0, 0}, user);
  set_unnoticed(programs_->skeleton().maps.sessions, Programs::session_key(spec), session);
  EXPECT_EQ(programs_->carry(build(answer_to(spec))).verdict, shot);
}

TEST_F(IcmpCacheTest, ThereIsNothingOfTheProfileTutu) {
  const auto spec = udp_packet(false);
  constexpr std::uint8_t uid = 7;
  programs_->add_server(spec, uid, ICMP_PROFILE_TUTU);
  programs_->add_user(uid, 51820, Programs::any_user(), ICMP_PROFILE_TUTU);
  for (int i = 0; i < 3; ++i) {
    const auto message = programs_->carry(build(spec)).bytes;
    EXPECT_EQ(hex(programs_->restore(message).bytes), hex(build(spec)));
  }
  EXPECT_EQ(cached_flows(), 0U);
  EXPECT_EQ(programs_->server_counts(spec).tx_packets, 3U);
  EXPECT_EQ(programs_->user_counts(uid, ICMP_PROFILE_TUTU).rx_packets, 3U);
}

// More flows than places, in two directions at both ends: each is told from those in its place.
TEST_F(IcmpCacheTest, FlowsThatShareAPlaceAreEachThemselves) {
  constexpr std::uint16_t flows = 3 * ICMP_CACHE_SIZE;
  constexpr unsigned users = 7;
  auto spec = udp_packet(false, 72);  // 100 bytes of IP
  for (std::uint16_t user = 0; user < users; ++user) programs_->add_user(tag + user, 51820);
  unsigned sent = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t flow = 0; flow < flows; ++flow) {
      spec.source_port = static_cast<std::uint16_t>(10000 + flow);
      const auto user = static_cast<std::uint16_t>(tag + flow % users);
      ASSERT_TRUE(is_restored(spec, user)) << flow;
      ASSERT_EQ(tag_sent(answer_to(spec)), user) << flow;
      ++sent;
    }
    if (round == 1) let_the_cache_age();
  }
  EXPECT_GT(cached_flows(), ICMP_CACHE_SIZE / 2U);
  icmp_counts sum{};
  for (std::uint16_t user = 0; user < users; ++user) {
    const auto counts = programs_->user_counts(static_cast<std::uint16_t>(tag + user));
    EXPECT_NEAR(static_cast<double>(counts.rx_packets), sent / users, 9);
    sum.rx_packets += counts.rx_packets;
    sum.rx_bytes += counts.rx_bytes;
    sum.tx_packets += counts.tx_packets;
    sum.tx_bytes += counts.tx_bytes;
  }
  EXPECT_EQ(sum.rx_packets, sent);
  EXPECT_EQ(sum.tx_packets, sent);
  EXPECT_EQ(sum.rx_bytes, sent * 100U);
  EXPECT_EQ(sum.tx_bytes, sent * 100U);
}

TEST_F(IcmpCacheTest, CountsGoFromTheCacheToTheTables) {
  const auto spec = udp_packet(false, 72);
  programs_->add_server(spec, tag);
  const icmp_server_key key{address_of(spec, spec.destination_host),
                            wire::network(spec.destination_port), 0};
  for (int i = 0; i < 5; ++i) tag_sent(spec);
  EXPECT_EQ(programs_->maps().servers.find(key)->counts.tx_packets, 0U);
  EXPECT_EQ(programs_->server_counts(spec).tx_packets, 5U);
  let_the_cache_age();
  tag_sent(spec);
  EXPECT_EQ(programs_->maps().servers.find(key)->counts.tx_packets, 5U);
  EXPECT_EQ(programs_->maps().servers.find(key)->counts.tx_bytes, 500U);
  EXPECT_EQ(programs_->server_counts(spec).tx_packets, 6U);
}

TEST_F(IcmpCacheTest, WhatWasCountedForAFormerUserIsNotTheNextOnes) {
  const auto spec = udp_packet(false);
  programs_->add_user(tag, 51820);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_restored(spec, tag));
  auto maps = programs_->maps();
  ASSERT_TRUE(maps.users.erase(icmp_user_key{tag, 0, 0}));
  auto next = Programs::any_user();
  next.counts.since = *maps.cache.generation();
  programs_->add_user(tag, 51820, next);
  EXPECT_EQ(programs_->user_counts(tag).rx_packets, 0U);
  EXPECT_TRUE(is_restored(spec, tag));
  EXPECT_EQ(programs_->user_counts(tag).rx_packets, 1U);
}

}  // namespace
}  // namespace warren::carrier
