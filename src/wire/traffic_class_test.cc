#include "wire/traffic_class.h"

#include <gtest/gtest.h>

#include "wire/testing.h"

namespace warren::wire {
namespace {

using namespace testing;  // NOLINT

PacketSpec packet_with(std::uint8_t traffic_class, bool ipv6, unsigned tags) {
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.vlan_tags = tags;
  spec.ipv6 = ipv6;
  spec.tos = traffic_class;
  spec.flow_label = 0x12345;
  return spec;
}

TEST(TrafficClass, IsReadBehindTagsToo) {
  for (unsigned tags = 0; tags < 3; ++tags) {
    EXPECT_EQ(traffic_class_of(build(packet_with(0xb9, false, tags)), Medium::ethernet), 0xb9);
    EXPECT_EQ(traffic_class_of(build(packet_with(0xb9, true, tags)), Medium::ethernet), 0xb9);
  }
  auto bare = packet_with(0xb9, true, 0);
  bare.medium = Medium::ip;
  EXPECT_EQ(traffic_class_of(build(bare), Medium::ip), 0xb9);
}

TEST(TrafficClass, WhatIsNoIpHasNone) {
  const auto whole = build(packet_with(0xff, false, 1));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto cut = Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(traffic_class_of(cut, Medium::ethernet), size < 18 + 20 ? 0 : 0xff) << size;
    const auto before = cut;
    EXPECT_TRUE(size >= 18 + 20 || decapsulate_ecn(cut, Medium::ethernet, ecn::congested));
    EXPECT_TRUE(size >= 18 + 20 || cut == before);
  }
  auto arp = build(packet_with(0xff, false, 0));
  arp[13] = std::byte{0x06};
  EXPECT_EQ(traffic_class_of(arp, Medium::ethernet), 0);
  EXPECT_TRUE(decapsulate_ecn(arp, Medium::ethernet, ecn::congested));
}

// The table of RFC 6040, section 4.2: what leaves, by the inner and the outer mark; -1: dropped.
TEST(TrafficClass, MarksComeBackInwards) {
  constexpr int table[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (const bool ipv6 : {false, true})
    for (std::uint8_t inner = 0; inner < 4; ++inner)
      for (std::uint8_t outer = 0; outer < 4; ++outer) {
        const auto expected = table[inner][outer];
        auto spec = packet_with(static_cast<std::uint8_t>(0xb8 | inner), ipv6, 1);
        auto packet = build(spec);
        const bool kept =
            decapsulate_ecn(packet, Medium::ethernet, static_cast<std::uint8_t>(0x48 | outer));
        ASSERT_EQ(kept, expected >= 0) << int{inner} << " in " << int{outer};
        // All else is as it was, and the checksum is right.
        spec.tos = static_cast<std::uint8_t>(0xb8 | (kept ? expected : int{inner}));
        ASSERT_EQ(packet, build(spec)) << int{inner} << " in " << int{outer};
      }
}

}  // namespace
}  // namespace warren::wire
