#include "wire/vxlan_outer.h"

#include <gtest/gtest.h>

#include "wire/testing.h"
#include "wire/vxlan.h"

namespace warren::wire {
namespace {

using namespace testing;  // NOLINT

IpAddress to_address(const PacketSpec& spec, std::uint32_t host) {
  IpAddress out;
  out.ipv6 = spec.ipv6;
  const auto bytes = address(spec, host);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    out.bytes[i] = std::to_integer<std::uint8_t>(bytes[i]);
  return out;
}

// A message as it is on the wire, byte by byte.
PacketSpec message_of(bool ipv6, const Bytes& frame) {
  PacketSpec spec;
  spec.ipv6 = ipv6;
  spec.tcp = false;
  spec.udp_checksum = ipv6;
  spec.dont_fragment = false;
  spec.id = 0x1234;
  spec.tos = 0xba;
  spec.destination_port = vxlan_port;
  put(spec.payload, 0x08000000'00002a00U, 8);
  put(spec.payload, frame);
  return spec;
}

TEST(VxlanOuter, IsWrittenAsOnTheWire) {
  for (const bool ipv6 : {false, true}) {
    const auto spec = message_of(ipv6, Bytes(61, std::byte{0x77}));
    const auto expected = build(spec);
    const auto length = vxlan_outer_length(ipv6);
    Bytes packet(expected.size(), std::byte{0x77});
    write_vxlan_outer(packet.data(),
                      {to_address(spec, spec.source_host), to_address(spec, spec.destination_host),
                       spec.source_port, spec.destination_port, 42, 0, spec.tos});
    EXPECT_EQ(find_vxlan_outer(packet), length);
    finish_vxlan_outer(packet, spec.id);
    EXPECT_EQ(packet, expected);
    const auto message = unwrap_vxlan(packet);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->from, to_address(spec, spec.source_host));
    EXPECT_EQ(message->traffic_class, 0xba);
    EXPECT_EQ(message->bytes.size(), packet.size() - length + 8);
    EXPECT_EQ(VxlanView::parse(message->bytes)->vni(), 42U);
  }
}

bool is_message(Bytes packet) { return unwrap_vxlan(packet).has_value(); }

TEST(VxlanOuter, WhatIsNoMessageIsNotTakenForOne) {
  const auto good = message_of(false, Bytes(60));
  auto fragment = build(good);
  fragment[6] = std::byte{0x20};
  EXPECT_FALSE(is_message(fragment));
  EXPECT_FALSE(find_vxlan_outer(fragment));
  auto tcp = good;
  tcp.tcp = true;
  EXPECT_FALSE(is_message(build(tcp)));
  EXPECT_FALSE(find_vxlan_outer(build(tcp)));
  auto cut = build(good);
  cut.resize(30);
  EXPECT_FALSE(is_message(cut));
  EXPECT_FALSE(find_vxlan_outer(cut));
  EXPECT_FALSE(is_message({}));
  EXPECT_FALSE(find_vxlan_outer({}));
  auto options = good;
  options.ip_options = Bytes(4, std::byte{1});
  EXPECT_TRUE(is_message(build(options)));
  EXPECT_FALSE(find_vxlan_outer(build(options)));
  // A datagram that says that it is longer than its packet.
  auto lies = build(good);
  lies[24] = std::byte{0xff};
  EXPECT_FALSE(is_message(lies));
}

}  // namespace
}  // namespace warren::wire
