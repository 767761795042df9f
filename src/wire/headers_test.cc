#include "wire/headers.h"

#include <gtest/gtest.h>

#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/testing.h"
#include "wire/udp.h"

namespace warren::wire {
namespace {

using testing::build;
using testing::Bytes;
using testing::PacketSpec;
using testing::put;
using testing::Random;
using testing::random_bytes;

TEST(Headers, RandomPacketsAreFoundAsTheyWereBuilt) {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    auto spec = testing::random_spec(random);
    spec.payload = random_bytes(random, random() % 100);
    auto packet = build(spec);
    const auto end = packet.size();
    packet.resize(end + random() % 8);  // padding
    const auto headers = parse_headers(packet, spec.medium);
    ASSERT_TRUE(headers);
    EXPECT_EQ(headers->l4, spec.l4());
    EXPECT_EQ(headers->length(), spec.header_length());
    EXPECT_EQ(headers->end, end);
    EXPECT_EQ(headers->payload_length(), spec.payload.size());
    EXPECT_EQ(headers->ipv6, spec.ipv6);
    EXPECT_EQ(headers->protocol, spec.tcp ? 6 : 17);
    EXPECT_FALSE(headers->fragment);
    EXPECT_FALSE(headers->authenticated);
  }
}

TEST(Headers, EveryTruncationIsRefusedOrStaysInside) {
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    auto spec = testing::random_spec(random);
    spec.payload = random_bytes(random, 10);
    const auto packet = build(spec);
    for (std::size_t size = 0; size < packet.size(); ++size) {
      EXPECT_FALSE(parse_headers(std::span(packet).first(size), spec.medium));
    }
  }
}

TEST(Headers, Ipv4Fragments) {
  PacketSpec spec;
  spec.payload.resize(100);
  auto packet = build(spec);
  packet[6] = std::byte{0x20};
  auto headers = parse_headers(packet, Medium::ip);
  ASSERT_TRUE(headers);
  EXPECT_TRUE(headers->fragment);
  EXPECT_FALSE(headers->later_fragment);
  EXPECT_EQ(headers->l4_length, 20);
  packet[7] = std::byte{0x01};
  headers = parse_headers(packet, Medium::ip);
  ASSERT_TRUE(headers);
  EXPECT_TRUE(headers->later_fragment);
  EXPECT_EQ(headers->l4_length, 0);
}

TEST(Headers, Ipv6FragmentAndAuthentication) {
  PacketSpec spec;
  spec.ipv6 = true;
  spec.first_extension = 51;
  put(spec.extensions, 0x2c04'0000'0000'0000U,
      8);  // AH of (4 + 2) * 4 bytes, then a fragment header
  put(spec.extensions, Bytes(16));
  put(spec.extensions, 0x0600'0000'0000'0007U, 8);
  auto packet = build(spec);
  auto headers = parse_headers(packet, Medium::ip);
  ASSERT_TRUE(headers);
  EXPECT_TRUE(headers->authenticated);
  EXPECT_TRUE(headers->fragment);
  EXPECT_FALSE(headers->later_fragment);
  EXPECT_EQ(headers->l4_length, 20);
  packet[40 + 24 + 3] = std::byte{0x08};
  headers = parse_headers(packet, Medium::ip);
  ASSERT_TRUE(headers);
  EXPECT_TRUE(headers->later_fragment);
  EXPECT_EQ(headers->protocol, 6);
  EXPECT_EQ(headers->l4_length, 0);
}

TEST(Headers, WhatIsNotIpIsRefused) {
  EXPECT_FALSE(parse_headers({}, Medium::ip));
  EXPECT_FALSE(parse_headers({}, Medium::ethernet));
  EXPECT_FALSE(parse_headers(Bytes(64), Medium::ip));
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  auto packet = build(spec);
  EXPECT_TRUE(parse_headers(packet, Medium::ethernet));
  packet[13] = std::byte{0x06};
  EXPECT_FALSE(parse_headers(packet, Medium::ethernet)) << "ARP";
  spec.ipv6 = true;
  packet = build(spec);
  packet[12] = std::byte{0x08};
  packet[13] = std::byte{0x00};
  EXPECT_FALSE(parse_headers(packet, Medium::ethernet)) << "an IPv6 packet that says it is IPv4";
}

TEST(Headers, BrokenTransportHeaderLeavesThePacketForwardable) {
  PacketSpec spec;
  auto packet = build(spec);
  packet[20 + 12] = std::byte{0xf0};  // 60 bytes of TCP header, 20 are there
  const auto headers = parse_headers(packet, Medium::ip);
  ASSERT_TRUE(headers);
  EXPECT_EQ(headers->l4_length, 0);
  EXPECT_EQ(headers->l4, 20U);
}

TEST(Views, ReadAndWriteTheFieldsOfTheirProtocol) {
  Random random(3);
  PacketSpec spec = testing::random_spec(random);
  spec.medium = Medium::ethernet;
  spec.vlan_tags = 1;
  spec.ipv6 = false;
  spec.tcp = true;
  spec.extensions.clear();
  auto packet = build(spec);
  const auto frame = Ethernet<std::byte>::parse(packet);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->type(), ether_type::ipv4);
  EXPECT_EQ(frame->header_length(), 18U);
  EXPECT_EQ(load8(frame->destination().data() + 5), 2);
  EXPECT_EQ(load8(frame->source().data() + 5), 1);
  const auto ip = Ipv4Editor::parse(frame->payload());
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->tos(), spec.tos);
  EXPECT_EQ(ip->id(), spec.id);
  EXPECT_EQ(ip->ttl(), spec.ttl);
  EXPECT_EQ(ip->options().size(), spec.ip_options.size());
  const auto tcp = TcpEditor::parse(ip->payload());
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->source_port(), spec.source_port);
  EXPECT_EQ(tcp->destination_port(), spec.destination_port);
  EXPECT_EQ(tcp->sequence(), spec.sequence);
  EXPECT_EQ(tcp->acknowledgment(), spec.acknowledgment);
  EXPECT_EQ(tcp->flags(), spec.flags);
  EXPECT_EQ(tcp->window(), spec.window);
  EXPECT_EQ(tcp->options().size(), spec.tcp_options.size());

  tcp->set_sequence(spec.sequence = 77);
  tcp->set_flags(spec.flags = 0x12);
  tcp->set_source_port(spec.source_port = 5);
  ip->set_id(spec.id = 9);
  ip->set_ttl(spec.ttl = 3);
  const auto expected = build(spec);
  ip->set_checksum(load_raw<std::uint16_t>(expected.data() + 18 + 10));
  tcp->set_checksum(load_raw<std::uint16_t>(expected.data() + spec.l4() + 16));
  store16(packet.data() + spec.l4() + 18, 0);  // the builder derives "urgent" from the flags
  EXPECT_EQ(packet, expected);
}

TEST(Views, Ipv6UdpAndIcmp) {
  PacketSpec spec;
  spec.ipv6 = true;
  spec.tcp = false;
  spec.tos = 0xa7;
  spec.flow_label = 0x12345;
  spec.payload.resize(11);
  auto packet = build(spec);
  const auto ip = Ipv6View::parse(packet);
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->traffic_class(), 0xa7);
  EXPECT_EQ(ip->flow_label(), 0x12345U);
  EXPECT_EQ(ip->hop_limit(), 64);
  EXPECT_EQ(ip->next_header(), ip_protocol::udp);
  const auto udp = UdpView::parse(ip->payload());
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->length(), 19);
  EXPECT_EQ(udp->payload().size(), 11U);
  EXPECT_EQ(udp->destination_port(), 2000);

  Bytes message;
  put(message, 0x0800'0000'0102'0304U, 8);
  put(message, 0xff, 1);
  const auto icmp = IcmpView::parse(message);
  ASSERT_TRUE(icmp);
  EXPECT_EQ(icmp->type(), icmp_type::echo_request);
  EXPECT_EQ(icmp->identifier(), 0x0102);
  EXPECT_EQ(icmp->sequence(), 0x0304);
  EXPECT_EQ(icmp->payload().size(), 1U);
  EXPECT_FALSE(IcmpView::parse(std::span(message).first(7)));
}

}  // namespace
}  // namespace warren::wire
