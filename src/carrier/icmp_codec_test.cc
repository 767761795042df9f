#include "carrier/icmp_codec.h"

#include <gtest/gtest.h>

#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/testing.h"
#include "wire/udp.h"

namespace warren::carrier {
namespace {

using wire::testing::build;
using wire::testing::Bytes;
using wire::testing::obvious_checksum;
using wire::testing::PacketSpec;
using wire::testing::put;
using wire::testing::Random;
using wire::testing::random_bytes;

constexpr std::uint16_t served_port = 51820;

PacketSpec udp_spec(bool ipv6, std::uint16_t client_port, IcmpDirection direction, Bytes payload) {
  PacketSpec spec;
  spec.tcp = false;
  spec.ipv6 = ipv6;
  spec.source_port = direction == IcmpDirection::request ? client_port : served_port;
  spec.destination_port = direction == IcmpDirection::request ? served_port : client_port;
  spec.payload = std::move(payload);
  return spec;
}

PacketSpec random_udp(Random& random, IcmpDirection direction, std::size_t size) {
  auto spec = wire::testing::random_spec(random);
  const auto client_port = static_cast<std::uint16_t>(random());
  const auto plain = udp_spec(spec.ipv6, client_port, direction, random_bytes(random, size));
  spec.medium = Medium::ip;
  // The chain of extension headers ends with the number of what follows.
  if (spec.tcp) {
    spec.extensions.clear();
    spec.first_extension = 0;
  }
  spec.tcp = false;
  spec.source_port = plain.source_port;
  spec.destination_port = plain.destination_port;
  spec.payload = plain.payload;
  return spec;
}

Tag random_tag(Random& random) {
  if (random() % 3 == 0) return {static_cast<std::uint16_t>(random() % 256), Profile::tutu};
  return {static_cast<std::uint16_t>(1 + random() % 0xfffe), Profile::warren};
}

// As any ping implementation sees it: RFC 792 and RFC 4443, computed in the most obvious way.
bool is_correct_icmp(const Bytes& packet, std::size_t l4, bool ipv6) {
  Bytes summed(packet.begin() + static_cast<std::ptrdiff_t>(l4), packet.end());
  if (ipv6) {
    Bytes pseudo(packet.begin() + 8, packet.begin() + 40);
    put(pseudo, summed.size(), 4);
    put(pseudo, 58, 4);
    pseudo.insert(pseudo.end(), summed.begin(), summed.end());
    summed = std::move(pseudo);
  } else if (obvious_checksum(Bytes(packet.begin(),
                                    packet.begin() + (std::to_integer<int>(packet[0]) & 15) * 4)) !=
             0) {
    return false;
  }
  return obvious_checksum(summed) == 0;
}

Bytes carried(const Bytes& packet, IcmpDirection direction, Tag tag, CarryOptions options = {}) {
  Bytes out = packet;
  EXPECT_EQ(carry_packet(out, direction, tag, options), CodecStatus::done);
  return out;
}

// What a NAT does to the identifier (and, with IPv6, to the source address).
void translate(Bytes& packet, std::size_t l4, bool ipv6, std::uint16_t identifier, bool recompute) {
  const wire::IcmpEditor icmp(*wire::IcmpEditor::parse(std::span(packet).subspan(l4)));
  const auto sum_changing = [&] {
    return wire::sum_of(icmp.identifier()) +
           (ipv6 ? wire::sum_bytes(std::span(packet).subspan(8, 16)) : wire::Sum{0});
  };
  const auto before = sum_changing();
  icmp.set_identifier(identifier);
  if (ipv6) packet[23] = std::byte{0x99};
  if (!recompute) {
    icmp.set_checksum(wire::update_checksum_by_sums(icmp.checksum(), before, sum_changing()));
    return;
  }
  icmp.set_checksum(0);
  const auto message = std::span(packet).subspan(l4);
  const auto pseudo = ipv6 ? wire::sum_pseudo_header6(packet.data() + 8, 58,
                                                      static_cast<std::uint32_t>(message.size()))
                           : wire::Sum{0};
  icmp.set_checksum(wire::finish(pseudo + wire::sum_bytes(message)));
}

TEST(IcmpCodec, RandomDatagramsComeBackByteForByte) {
  Random random(1);
  for (std::size_t i = 0; i < 6000; ++i) {
    const auto direction = random() % 2 == 0 ? IcmpDirection::request : IcmpDirection::reply;
    const auto spec = random_udp(random, direction, i % 1473);
    const auto tag = random_tag(random);
    const auto original = build(spec);
    auto packet = carried(original, direction, tag);
    ASSERT_EQ(packet.size(), original.size());
    ASSERT_TRUE(is_correct_icmp(packet, spec.l4(), spec.ipv6)) << i;

    const auto echo = read_packet(packet);
    ASSERT_TRUE(echo);
    EXPECT_TRUE(echo->belongs_to(tag));
    EXPECT_EQ(echo->direction, direction);
    EXPECT_EQ(echo->code, tag.profile == Profile::tutu ? tag.value : 0);
    EXPECT_EQ(echo->identifier,
              direction == IcmpDirection::request ? spec.source_port : spec.destination_port);
    const auto server_port =
        direction == IcmpDirection::request ? spec.destination_port : spec.source_port;
    ASSERT_EQ(restore_packet(packet, direction, tag, server_port), CodecStatus::done);
    ASSERT_EQ(packet, original) << i;
  }
}

TEST(IcmpCodec, KnownAndSummedChecksumsGiveTheSamePacket) {
  Random random(2);
  for (std::size_t i = 0; i < 2000; ++i) {
    auto spec = random_udp(random, IcmpDirection::request, random() % 1473);
    const auto tag = random_tag(random);
    const auto expected = carried(build(spec), IcmpDirection::request, tag);
    auto pending = build(spec);
    wire::store16(pending.data() + spec.l4() + 6, static_cast<std::uint16_t>(random()));
    EXPECT_EQ(carried(pending, IcmpDirection::request, tag, {.checksum_known = false}), expected);
    spec.udp_checksum = false;
    EXPECT_EQ(carried(build(spec), IcmpDirection::request, tag), expected) << "datagram without";
  }
}

TEST(IcmpCodec, EveryLengthAndChecksumValueVerifies) {
  // One word of the payload runs through all values, and with it the UDP checksum: 0, which is
  // written as 0xffff, among them.
  for (const bool ipv6 : {false, true}) {
    bool saw_ffff = false;
    for (std::uint32_t word = 0; word <= 0xffff; ++word) {
      Bytes payload;
      put(payload, word, 2);
      const auto spec = udp_spec(ipv6, 40000, IcmpDirection::request, payload);
      const auto original = build(spec);
      saw_ffff |= wire::load16(original.data() + spec.l4() + 6) == 0xffff;
      auto packet = carried(original, IcmpDirection::request, {.value = 40000});
      ASSERT_TRUE(is_correct_icmp(packet, spec.l4(), ipv6));
      ASSERT_EQ(restore_packet(packet, IcmpDirection::request, {.value = 40000}, served_port),
                CodecStatus::done);
      ASSERT_EQ(packet, original) << word;
    }
    EXPECT_TRUE(saw_ffff);
  }
}

TEST(IcmpCodec, TagSurvivesTranslation) {
  Random random(3);
  for (std::size_t i = 0; i < 4000; ++i) {
    auto spec = random_udp(random, IcmpDirection::request, random() % 1473);
    spec.extensions.clear();
    const Tag tag{static_cast<std::uint16_t>(1 + random() % 0xfffe), Profile::warren};
    auto packet = carried(build(spec), IcmpDirection::request, tag);
    const auto identifier = static_cast<std::uint16_t>(random());
    translate(packet, spec.l4(), spec.ipv6, identifier, i % 2 == 0);
    ASSERT_TRUE(is_correct_icmp(packet, spec.l4(), spec.ipv6));
    const auto echo = read_packet(packet);
    ASSERT_TRUE(echo && echo->belongs_to(tag));
    EXPECT_EQ(echo->identifier, identifier);

    spec.source_port = identifier;
    auto expected = build(spec);
    if (spec.ipv6) {
      expected[23] = std::byte{0x99};  // and its checksum follows
      const auto before = wire::sum_of(static_cast<std::uint16_t>(spec.source_host & 0xffff));
      const auto after =
          wire::sum_of(static_cast<std::uint16_t>((spec.source_host & 0xff00) | 0x99));
      auto* checksum = expected.data() + spec.l4() + 6;
      const auto updated =
          wire::update_checksum_by_sums(wire::load_raw<std::uint16_t>(checksum), before, after);
      wire::store_raw(checksum, updated == 0 ? std::uint16_t{0xffff} : updated);
    }
    ASSERT_EQ(restore_packet(packet, IcmpDirection::request, tag, spec.destination_port),
              CodecStatus::done);
    ASSERT_EQ(packet, expected);
  }
}

TEST(IcmpCodec, BareMessagesAreWhatIsInThePackets) {
  Random random(4);
  for (std::size_t i = 0; i < 2000; ++i) {
    const auto direction = random() % 2 == 0 ? IcmpDirection::request : IcmpDirection::reply;
    const auto spec = random_udp(random, direction, random() % 1473);
    const auto tag = random_tag(random);
    const auto packet = carried(build(spec), direction, tag);
    const auto message = std::span(packet).subspan(spec.l4());
    const EchoPath path{spec.ipv6,
                        spec.ipv6 ? wire::sum_bytes(std::span(packet).subspan(8, 32)) : 0};
    EXPECT_TRUE(verify_echo(message, path));

    const auto fields = read_echo_header(message, path);
    ASSERT_TRUE(fields);
    Bytes header(echo_header_length);
    write_echo_header(header.data(), *fields, tag, path, spec.payload.size(),
                      wire::sum_bytes(spec.payload));
    EXPECT_TRUE(std::equal(header.begin(), header.end(), message.begin()));

    // Without the addresses only the checksum differs, and a kernel that completes it finds the
    // same one.
    write_echo_header(header.data(), *fields, tag, {spec.ipv6, 0}, spec.payload.size(),
                      wire::sum_bytes(spec.payload));
    EXPECT_TRUE(std::equal(header.begin() + 4, header.end(), message.begin() + 4));
  }
}

TEST(IcmpCodec, RepliesOfTutuSendTheSequenceBack) {
  const Tag user{7, Profile::tutu};
  // A NAT has made 1111 of the client's port 40000.
  const auto spec = udp_spec(false, 1111, IcmpDirection::reply, Bytes(33));
  auto packet = carried(build(spec), IcmpDirection::reply, user, {.reply_sequence = 40000});
  const auto echo = read_packet(packet);
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->identifier, 1111);
  EXPECT_EQ(echo->sequence, 40000);
  EXPECT_EQ(echo->code, 7);
  ASSERT_EQ(restore_packet(packet, IcmpDirection::reply, user, served_port), CodecStatus::done);
  EXPECT_EQ(packet, build(udp_spec(false, 40000, IcmpDirection::reply, Bytes(33))));
}

TEST(IcmpCodec, DamageBecomesAWrongUdpChecksum) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    const auto spec = random_udp(random, IcmpDirection::request, 1 + random() % 200);
    const auto tag = random_tag(random);
    auto packet = carried(build(spec), IcmpDirection::request, tag);
    const auto at = spec.l4() + 8 + random() % spec.payload.size();
    packet[at] ^= std::byte{0x10};
    const EchoPath path{spec.ipv6,
                        spec.ipv6 ? wire::sum_bytes(std::span(packet).subspan(8, 32)) : 0};
    EXPECT_FALSE(verify_echo(std::span(packet).subspan(spec.l4()), path));
    ASSERT_EQ(restore_packet(packet, IcmpDirection::request, tag, spec.destination_port),
              CodecStatus::done);
    auto expected = build(spec);
    expected[at] ^= std::byte{0x10};
    EXPECT_EQ(packet, expected) << "the checksum of the undamaged datagram";
  }
}

TEST(IcmpCodec, WhatIsNotOursStaysAsItIs) {
  const Tag tag{.value = 0x3fa2};
  const auto spec = udp_spec(false, 40000, IcmpDirection::request, Bytes(100));
  const auto ours = carried(build(spec), IcmpDirection::request, tag);
  const auto expect_unchanged = [](const Bytes& packet, IcmpDirection direction, Tag user,
                                   CodecStatus status) {
    auto copy = packet;
    EXPECT_EQ(restore_packet(copy, direction, user, served_port), status);
    EXPECT_EQ(copy, packet);
  };
  expect_unchanged(ours, IcmpDirection::reply, tag, CodecStatus::other);
  expect_unchanged(ours, IcmpDirection::request, {.value = 0x3fa3}, CodecStatus::other);
  expect_unchanged(build(spec), IcmpDirection::request, tag, CodecStatus::other);
  auto coded = ours;
  coded[21] = std::byte{1};
  expect_unchanged(coded, IcmpDirection::request, tag, CodecStatus::other);
  auto fragment = ours;
  fragment[6] = std::byte{0x20};
  expect_unchanged(fragment, IcmpDirection::request, tag, CodecStatus::fragment);
  EXPECT_FALSE(read_packet(fragment));
  for (std::size_t size = 0; size < ours.size(); ++size)
    expect_unchanged(Bytes(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(size)),
                     IcmpDirection::request, tag, CodecStatus::malformed);
}

TEST(IcmpCodec, WhatCannotBeCarriedIsNamed) {
  const Tag tag{.value = 0x3fa2};
  const auto expect = [&](Bytes packet, CodecStatus status) {
    const auto before = packet;
    EXPECT_EQ(carry_packet(packet, IcmpDirection::request, tag), status);
    EXPECT_EQ(packet, before);
  };
  PacketSpec tcp;
  expect(build(tcp), CodecStatus::other);
  expect({}, CodecStatus::malformed);
  for (const bool ipv6 : {false, true}) {
    auto spec = udp_spec(ipv6, 40000, IcmpDirection::request, Bytes(100));
    auto packet = build(spec);
    wire::store16(packet.data() + spec.l4() + 4, 50);
    expect(packet, CodecStatus::malformed);
    wire::store16(packet.data() + spec.l4() + 4, 5000);
    expect(packet, CodecStatus::malformed);
  }
  auto fragment = build(udp_spec(false, 40000, IcmpDirection::request, Bytes(100)));
  fragment[7] = std::byte{1};
  expect(fragment, CodecStatus::fragment);
  auto spec = udp_spec(true, 40000, IcmpDirection::request, Bytes(100));
  spec.first_extension = wire::ip_protocol::fragment;
  put(spec.extensions, 0x1100'0001'0000'0007U, 8);
  expect(build(spec), CodecStatus::fragment);
  spec.first_extension = wire::ip_protocol::authentication;
  spec.extensions.clear();
  put(spec.extensions, 0x1104'0000'0000'0000U, 8);
  put(spec.extensions, Bytes(16));
  expect(build(spec), CodecStatus::malformed);
  spec.first_extension = wire::ip_protocol::routing;  // one segment left
  spec.extensions.clear();
  put(spec.extensions, 0x1100'0001'0000'0000U, 8);
  expect(build(spec), CodecStatus::malformed);
}

TEST(IcmpCodec, WireguardInitiation) {
  Bytes payload(148);
  payload[0] = std::byte{1};
  EXPECT_TRUE(is_wireguard_initiation(payload));
  payload[1] = std::byte{1};
  EXPECT_FALSE(is_wireguard_initiation(payload));
  payload[1] = std::byte{0};
  payload.resize(147);
  EXPECT_FALSE(is_wireguard_initiation(payload));
  EXPECT_FALSE(is_wireguard_initiation({}));
}

}  // namespace
}  // namespace warren::carrier
