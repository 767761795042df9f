// Who a packet belongs to: users, sessions, addresses, both profiles, both roles on one host; and
// that what belongs to nobody is never changed.
#include <time.h>

#include "carrier/icmp_codec.h"
#include "carrier/testing.h"
#include "linux/netlink.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;
using wire::testing::obvious_checksum;

constexpr std::uint16_t tag = 0x3fa2;
constexpr std::uint8_t tutu = ICMP_PROFILE_TUTU;
constexpr std::uint8_t uid = 7;
constexpr std::uint64_t second = 1'000'000'000;

std::uint64_t monotonic_clock() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second +
         static_cast<std::uint64_t>(time.tv_nsec);
}

/// An echo request as the client of `user` sends it.
Bytes request_of(const PacketSpec& spec, Tag user) {
  auto out = build(spec);
  EXPECT_EQ(carry_packet(std::span(out).subspan(14), IcmpDirection::request, user),
            CodecStatus::done);
  return out;
}

class IcmpSessionsTest : public ProgramsTest {
 protected:
  static icmp_user wireguard_user() {
    auto user = Programs::any_user();
    user.first = ICMP_FIRST_WIREGUARD;
    return user;
  }
  void expect_restored(const Bytes& message, const PacketSpec& spec) {
    const auto received = programs_->restore(message);
    EXPECT_EQ(received.verdict, go_on);
    EXPECT_EQ(hex(received.bytes), hex(build(spec)));
  }
  void expect_left_alone(const Bytes& packet) {
    for (auto* program : {programs_->skeleton().progs.restore, programs_->skeleton().progs.carry}) {
      const auto received = programs_->run(program, packet);
      EXPECT_EQ(received.verdict, go_on);
      EXPECT_EQ(hex(received.bytes), hex(packet));
    }
    EXPECT_EQ(hex(programs_->restore_xdp(packet).bytes), hex(packet));
  }
};

TEST_F(IcmpSessionsTest, OnlyAHandshakeOpensASession) {
  for (const bool ipv6 : {false, true}) {
    programs_->add_user(tag, 51820, wireguard_user());
    const auto data = udp_packet(ipv6, 148);
    expect_left_alone(request_of(data, {tag}));
    expect_left_alone(request_of(udp_packet(ipv6, 2), {tag}));
    EXPECT_FALSE(programs_->session(data));
    // Nobody can be answered yet.
    EXPECT_EQ(programs_->carry(build(answer_to(data))).verdict, shot);
    expect_restored(request_of(initiation(ipv6), {tag}), initiation(ipv6));
    ASSERT_TRUE(programs_->session(data));
    expect_restored(request_of(data, {tag}), data);
    EXPECT_EQ(programs_->carry(build(answer_to(data))).verdict, go_on);
    // The session is of this port alone.
    auto other = data;
    other.source_port = 40124;
    expect_left_alone(request_of(other, {tag}));
  }
  EXPECT_EQ(programs_->count(ICMP_PASS_NOT_OPENING), 6U);
  EXPECT_EQ(programs_->count(ICMP_DROP_NO_SESSION), 2U);
}

TEST_F(IcmpSessionsTest, AnUnknownTagIsAPing) {
  programs_->add_user(tag, 51820);
  for (const bool ipv6 : {false, true}) {
    expect_left_alone(request_of(initiation(ipv6), {tag + 1}));
    // An answer to a request that nobody here made.
    auto reply = build(answer_to(udp_packet(ipv6)));
    ASSERT_EQ(carry_packet(std::span(reply).subspan(14), IcmpDirection::reply, {tag}),
              CodecStatus::done);
    expect_left_alone(reply);
  }
}

TEST_F(IcmpSessionsTest, AUserMayBeTiedToAPrefix) {
  auto user = Programs::any_user();
  auto spec = udp_packet(false);  // from 10.0.0.1
  user.from = address_of(spec, 0x0100);
  user.from_bits = 96 + 24;  // 10.0.1.0/24
  programs_->add_user(tag, 51820, user);
  expect_left_alone(request_of(spec, {tag}));
  EXPECT_EQ(programs_->count(ICMP_PASS_ADDRESS), 1U);
  spec.source_host = 0x01fe;
  expect_restored(request_of(spec, {tag}), spec);

  auto spec6 = udp_packet(true);  // from fd00::1:0:0:0:1
  user.from = address_of(spec6, 0);
  user.from_bits = 127;
  programs_->add_user(tag, 51820, user);
  expect_restored(request_of(spec6, {tag}), spec6);
  spec6.source_host = 2;
  expect_left_alone(request_of(spec6, {tag}));
}

TEST_F(IcmpSessionsTest, ASessionEndsWithItsClient) {
  auto user = wireguard_user();
  user.max_age = 60;
  programs_->add_user(tag, 51820, user);
  const auto spec = udp_packet(false);
  const auto seen_before = [&](std::uint64_t seconds) {
    auto session = icmp_session{};
    session.user = {tag, 0, 0};
    session.last_seen = monotonic_clock() - seconds * second;
    Programs::update(programs_->skeleton().maps.sessions, Programs::session_key(spec), session);
    return session.last_seen;
  };
  const auto before = seen_before(2);
  EXPECT_EQ(programs_->carry(build(answer_to(spec))).verdict, go_on);
  EXPECT_EQ(programs_->session(spec)->last_seen, before) << "an answer does not keep it alive";
  expect_restored(request_of(spec, {tag}), spec);
  EXPECT_GT(programs_->session(spec)->last_seen, before);

  user.max_age = 1;
  programs_->add_user(tag, 51820, user);
  seen_before(3);
  EXPECT_EQ(programs_->carry(build(answer_to(spec))).verdict, shot);
  expect_left_alone(request_of(spec, {tag}));
  user.max_age = 60;
  programs_->add_user(tag, 51820, user);
  expect_restored(request_of(initiation(false), {tag}), initiation(false));
  EXPECT_EQ(programs_->carry(build(answer_to(spec))).verdict, go_on);
}

TEST_F(IcmpSessionsTest, TheTimeIsNotWrittenForEveryPacket) {
  programs_->add_user(tag, 51820);
  const auto spec = udp_packet(false);
  auto session = icmp_session{};
  session.user = {tag, 0, 0};
  session.last_seen = monotonic_clock() + 3600 * second;  // later than now: never overwritten
  Programs::update(programs_->skeleton().maps.sessions, Programs::session_key(spec), session);
  expect_restored(request_of(spec, {tag}), spec);
  EXPECT_EQ(programs_->session(spec)->last_seen, session.last_seen);
}

TEST_F(IcmpSessionsTest, ASessionBelongsToOneUser) {
  programs_->add_user(tag, 51820, wireguard_user());
  programs_->add_user(tag + 1, 51820, wireguard_user());
  expect_restored(request_of(initiation(false), {tag}), initiation(false));
  // Another user with the same address and identifier: a NAT gave it to somebody else since.
  const auto spec = udp_packet(false);
  expect_left_alone(request_of(spec, {tag + 1}));
  expect_restored(request_of(initiation(false), {tag + 1}), initiation(false));
  EXPECT_EQ(programs_->session(spec)->user.tag, tag + 1);
  EXPECT_EQ(tag_of(answer_to(spec), programs_->carry(build(answer_to(spec))).bytes), tag + 1);
}

TEST_F(IcmpSessionsTest, CountsPacketsAndBytesOfEachUser) {
  const auto spec = udp_packet(false, 72);  // 100 bytes of IP
  programs_->add_server(spec, tag);
  programs_->add_user(tag, 51820);
  const auto message = programs_->carry(build(spec)).bytes;
  expect_restored(message, spec);
  expect_restored(message, spec);
  EXPECT_EQ(hex(programs_->restore_xdp(message).bytes), hex(build(spec)));
  const auto server = programs_->server_counts(spec);
  EXPECT_EQ(server.tx_packets, 1U);
  EXPECT_EQ(server.tx_bytes, 100U);
  const auto user = programs_->user_counts(tag);
  EXPECT_EQ(user.rx_packets, 3U);
  EXPECT_EQ(user.rx_bytes, 300U);
  const auto reply = programs_->carry(build(answer_to(spec))).bytes;
  EXPECT_EQ(hex(programs_->restore(reply).bytes), hex(build(answer_to(spec))));
  EXPECT_EQ(programs_->user_counts(tag).tx_bytes, 100U);
  EXPECT_EQ(programs_->server_counts(spec).rx_bytes, 100U);
}

TEST_F(IcmpSessionsTest, OneHostIsClientAndServerOfTheSameHost) {
  // Both with the same port: what is sent goes out as a client's request, and all of it arrives.
  auto there = udp_packet(false);
  there.source_port = there.destination_port;
  programs_->add_server(there, tag);
  programs_->add_user(tag + 1, 51820);
  const auto sent = programs_->carry(build(there)).bytes;
  EXPECT_EQ(hex(sent), hex(expected_message(there, sent, false, 51820)));
  const auto back = answer_to(there);
  expect_restored(request_of(back, {tag + 1}), back);
  auto reply = build(back);
  ASSERT_EQ(carry_packet(std::span(reply).subspan(14), IcmpDirection::reply, {tag}),
            CodecStatus::done);
  expect_restored(reply, back);
}

TEST_F(IcmpSessionsTest, TutuCarriesUserAndPortsInTheOpen) {
  for (const bool ipv6 : {false, true}) {
    const auto inside = udp_packet(ipv6);
    programs_->add_server(inside, uid, tutu);
    programs_->add_user(uid, 51820, Programs::any_user(), tutu);

    const auto sent = programs_->carry(build(inside)).bytes;
    EXPECT_EQ(hex(sent), hex(request_of(inside, {uid, Profile::tutu})));
    EXPECT_EQ(word(sent, inside.l4()), (ipv6 ? 128U : 8U) << 8 | uid);
    EXPECT_EQ(word(sent, inside.l4() + 4), inside.source_port);
    EXPECT_EQ(word(sent, inside.l4() + 6), inside.source_port);
    EXPECT_EQ(icmp_error_of(inside, sent), 0);

    // A NAT changes the identifier, not the sequence number; the server answers with both.
    auto outside = inside;
    outside.source_host = 0x77;
    outside.source_port = 999;
    auto translated = expected_message(outside, sent, false, 999);
    set_word(translated, inside.l4(), word(sent, inside.l4()));
    set_word(translated, inside.l4() + 2, 0);
    set_word(translated, inside.l4() + 2, icmp_error_of(outside, translated));
    expect_restored(translated, outside);
    const auto answer = programs_->carry(build(answer_to(outside))).bytes;
    EXPECT_EQ(word(answer, inside.l4()), (ipv6 ? 129U : 0U) << 8 | uid);
    EXPECT_EQ(word(answer, inside.l4() + 4), 999U);
    EXPECT_EQ(word(answer, inside.l4() + 6), inside.source_port);
    EXPECT_EQ(icmp_error_of(answer_to(outside), answer), 0);
    // The client goes by the sequence number, whatever became of the identifier.
    expect_restored(answer, [&] {
      auto back = answer_to(outside);
      back.destination_port = inside.source_port;
      return back;
    }());
  }
}

TEST_F(IcmpSessionsTest, NeverChangesWhatBelongsToNobody) {
  programs_->add_server(udp_packet(false), tag);
  programs_->add_server(udp_packet(true), tag);
  programs_->add_server(udp_packet(false), uid, tutu);
  programs_->add_user(tag, 51820, wireguard_user());
  wire::testing::Random random(20261121);
  for (int round = 0; round < 3000; ++round) {
    auto spec = wire::testing::random_spec(random);
    spec.medium = Medium::ethernet;
    if (round % 2 == 0) spec.vlan_tags = 0;
    if (spec.destination_port == 51820 || spec.source_port == 51820) continue;
    spec.payload = wire::testing::random_bytes(random, random() % 600);
    auto packet = build(spec);
    const std::size_t l3 = 14 + 4 * spec.vlan_tags;
    switch (random() % 4) {
      case 0:  // another protocol, ICMP among them; a damaged header now and then
        packet[l3 + (spec.ipv6 ? 6 : 9)] =
            static_cast<std::byte>(random() % 2 == 0 ? (spec.ipv6 ? 58 : 1) : random());
        break;
      case 1:
        packet[l3 + random() % (packet.size() - l3)] ^= static_cast<std::byte>(1 + random() % 255);
        break;
      case 2: {  // cut off; bpf_prog_test_run wants the whole fixed header
        const std::size_t least = l3 + (spec.ipv6 ? 40 : 20);
        packet.resize(least + random() % (packet.size() - least));
        break;
      }
      default:
        break;
    }
    SCOPED_TRACE(round);
    // A ping has the tag of our one user once in 65536; none with this seed.
    expect_left_alone(packet);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace warren::carrier
