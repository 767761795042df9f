// Against stacks computed by hand.
#include "l3/mtu_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::l3 {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr MtuChoice transparent{MtuChoice::Kind::transparent, 0};
constexpr MtuChoice automatic{};
constexpr MtuChoice fixed(std::uint32_t mtu) { return {MtuChoice::Kind::fixed, mtu}; }

// VXLAN over WireGuard, whose MTU is wg-quick's 1420, over Ethernet.
Path portable_router(MtuChoice vxlan) {
  return {"wan",
          1500,
          {{"wg0", Encapsulation::wireguard, false, Carrier::udp, fixed(1420)},
           {"vx8", Encapsulation::vxlan, false, Carrier::udp, vxlan}}};
}
std::vector<Layer> layers(const Path& path) { return plan_layers(path).value(); }

TEST(MtuPlan, Overheads) {
  EXPECT_EQ(overhead_of(Encapsulation::vxlan, false), 50U);
  EXPECT_EQ(overhead_of(Encapsulation::vxlan, true), 70U);
  EXPECT_EQ(overhead_of(Encapsulation::wireguard, false), 60U);
  EXPECT_EQ(overhead_of(Encapsulation::wireguard, true), 80U);
  Tunnel icmp{"wg0", Encapsulation::wireguard, false, Carrier::icmp};
  EXPECT_EQ(overhead_of(icmp), 60U);
  EXPECT_EQ(headers_before(icmp)[1].name, "icmp");
}

TEST(MtuPlan, AutoFitsTheLayerBelow) {
  const auto path = portable_router(automatic);
  EXPECT_EQ(layers(path)[1].mtu, 1370U);
  EXPECT_THAT(send_packet(path, layers(path), 1370, Entry::bridged).on_wire(), ElementsAre(1480));
  auto all = path;
  all.tunnels[0].mtu = automatic;
  EXPECT_EQ(layers(all)[0].mtu, 1440U);
  EXPECT_EQ(layers(all)[1].mtu, 1390U);
  all.tunnels[0].ipv6_underlay = true;
  all.tunnels[1].ipv6_underlay = true;
  EXPECT_EQ(layers(all)[0].mtu, 1420U);
  EXPECT_EQ(layers(all)[1].mtu, 1350U);
  all.wire_mtu = 1492;
  EXPECT_EQ(layers(all)[1].mtu, 1342U);
}

// 2008 bytes of ICMP leave the host as 1500 and 548; VXLAN makes 1550 and 598 of them; WireGuard's
// device fragments the first to 1420 and 150.
TEST(MtuPlan, APingOf2000BytesIsThreePacketsWhereTheL2Keeps1500) {
  const auto path = portable_router(transparent);
  const auto ping = send_ping(path, layers(path), 2000, 1500, Entry::bridged);
  EXPECT_THAT(ping.from_host, ElementsAre(1500, 548));
  ASSERT_EQ(ping.steps.size(), 3U);
  EXPECT_THAT(ping.steps[0].sent, ElementsAre(1550, 598));
  EXPECT_THAT(ping.steps[1].enter, ElementsAre(1550, 598));
  EXPECT_TRUE(ping.steps[1].fragmented);
  EXPECT_THAT(ping.steps[1].taken, ElementsAre(1420, 150, 598));
  // 1420 is no multiple of 16, but padding stops at the MTU; 150 becomes 160, and 598 becomes 608.
  EXPECT_THAT(ping.on_wire(), ElementsAre(1480, 220, 668));
  EXPECT_FALSE(ping.lost());
}

// 1344 is the multiple of 8 that fits 1370: 1364 and 684, with VXLAN 1414 and 734.
TEST(MtuPlan, AndTwoWhereTheHostKnowsTheMtu) {
  const auto path = portable_router(automatic);
  const auto ping = send_ping(path, layers(path), 2000, 1370, Entry::bridged);
  EXPECT_THAT(ping.from_host, ElementsAre(1364, 684));
  EXPECT_THAT(ping.steps[0].sent, ElementsAre(1414, 734));
  EXPECT_FALSE(ping.steps[1].fragmented);
  EXPECT_THAT(ping.on_wire(), ElementsAre(1480, 796));
}

TEST(MtuPlan, ABridgeLosesWhatARouterFragments) {
  const auto path = portable_router(fixed(1370));
  const auto bridged = send_packet(path, layers(path), 1500, Entry::bridged);
  EXPECT_TRUE(bridged.lost());
  EXPECT_THAT(bridged.on_wire(), IsEmpty());
  const auto routed = send_packet(path, layers(path), 1500, Entry::routed);
  EXPECT_TRUE(routed.steps[0].fragmented);
  EXPECT_THAT(routed.steps[0].sent, ElementsAre(1364 + 50, 156 + 50));
  EXPECT_EQ(routed.on_wire().size(), 2U);
}

// One fragment of the ping gets through and the other is lost, so that no answer can come.
TEST(MtuPlan, APartIsLostToo) {
  const auto path = portable_router(fixed(1370));
  const auto ping = send_ping(path, layers(path), 2000, 1500, Entry::bridged);
  EXPECT_TRUE(ping.lost());
  EXPECT_EQ(ping.on_wire().size(), 1U);
}

TEST(MtuPlan, Ipv6FragmentsHaveAHeaderMore) {
  // 1530 bytes behind the IPv6 header; 1420 - 48 = 1372, of which 1368 is a multiple of 8.
  EXPECT_THAT(fragment(1570, 1420, true), ElementsAre(1416, 210));
  EXPECT_THAT(fragment(1550, 1420, false), ElementsAre(1420, 150));
  EXPECT_THAT(fragment(1420, 1420, true), ElementsAre(1420));
  // The last one may be longer than a multiple of 8.
  EXPECT_THAT(fragment(20 + 1344 + 1350, 1370, false), ElementsAre(1364, 1370));
  auto path = portable_router(transparent);
  path.tunnels[1].ipv6_underlay = true;
  EXPECT_THAT(send_packet(path, layers(path), 1500, Entry::bridged).steps[0].sent,
              ElementsAre(1570));
  EXPECT_EQ(send_packet(path, layers(path), 1500, Entry::bridged).on_wire().size(), 2U);
}

TEST(MtuPlan, TheWireFragmentsWhatIsStillTooLarge) {
  auto path = portable_router(automatic);
  path.wire_mtu = 1400;  // somebody's PPPoE in a tunnel
  const auto journey = send_packet(path, layers(path), 1370, Entry::routed);
  EXPECT_THAT(journey.steps.back().enter, ElementsAre(1480));
  EXPECT_EQ(journey.on_wire().size(), 2U);
  EXPECT_THAT(warnings(path, layers(path)), Contains(HasSubstr("wg0: packets above 1340 bytes")));
}

TEST(MtuPlan, Warns) {
  const auto transparent_path = portable_router(transparent);
  EXPECT_THAT(warnings(transparent_path, layers(transparent_path)),
              Contains(HasSubstr("clamped to 1330 (IPv6: 1310)")));
  const auto narrow = portable_router(fixed(1200));
  EXPECT_THAT(warnings(narrow, layers(narrow)), Contains(HasSubstr("too small for IPv6")));
  EXPECT_THAT(warnings(narrow, layers(narrow)), Contains(HasSubstr("170 bytes more would fit")));
  const auto automatic_path = portable_router(automatic);
  EXPECT_THAT(warnings(automatic_path, layers(automatic_path)),
              Contains(HasSubstr("a bridge cannot fragment")));
}

TEST(MtuPlan, SaysWhereNothingFits) {
  auto path = portable_router(automatic);
  path.tunnels[0].mtu = fixed(100);
  const auto planned = plan_layers(path);
  ASSERT_FALSE(planned);
  EXPECT_THAT(planned.error().message, HasSubstr("vx8: nothing fits: wg0 has an MTU of 100"));
}

TEST(MtuPlan, ParsesChoices) {
  EXPECT_EQ(MtuChoice::parse("auto").value(), automatic);
  EXPECT_EQ(MtuChoice::parse("transparent").value(), transparent);
  EXPECT_EQ(MtuChoice::parse("1370").value(), fixed(1370));
  for (const auto* wrong : {"", "67", "65536", "-1", "1370 ", "automatic", "99999999999"})
    EXPECT_FALSE(MtuChoice::parse(wrong)) << wrong;
}

TEST(MtuPlan, WritesLinesForDnsmasq) {
  EXPECT_THAT(dnsmasq_lines("br-lan2", 1370), ElementsAre("dhcp-option=tag:br-lan2,option:mtu,1370",
                                                          "ra-param=br-lan2,mtu:1370,600"));
}

}  // namespace
}  // namespace warren::l3
