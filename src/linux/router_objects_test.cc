// Bridges, VXLAN, policy rules, nf_tables and sysctls, in a namespace that vanishes with the test.
#include <gmock/gmock.h>

#include <algorithm>

#include "linux/nftables.h"
#include "linux/sysctl.h"
#include "linux/testing.h"

namespace warren {
namespace {

using namespace testing;  // NOLINT
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class RouterObjectsTest : public NetnsTest {
 protected:
  void make_pair(const std::string& a, const std::string& b) {
    good(socket_->create_veth({.name = a, .peer_name = b}));
    good(socket_->set_up(a, true));
    good(socket_->set_up(b, true));
  }
};

TEST_F(RouterObjectsTest, ABridgeHasPorts) {
  make_pair("a", "b");
  good(socket_->create_bridge({.name = "br0", .mac = *MacAddress::parse("02:00:00:00:00:09")}));
  good(socket_->set_master("a", "br0"));
  EXPECT_EQ(socket_->link("a")->master, *socket_->index("br0"));
  EXPECT_EQ(socket_->link("br0")->kind, "bridge");
  good(socket_->set_alias("br0", "warren:test"));
  EXPECT_EQ(socket_->link("br0")->alias, "warren:test");
  good(socket_->set_master("a", ""));
  EXPECT_EQ(socket_->link("a")->master, 0);
  EXPECT_EQ(sysctl::read("net/ipv4/conf/br0/forwarding")->size(), 1U);
}

TEST_F(RouterObjectsTest, VxlanFloodsToItsPeers) {
  for (const auto& [name, local, peers] :
       {std::tuple{"vx4", "10.0.0.1", std::vector{"10.0.0.2", "10.0.0.3"}},
        std::tuple{"vx6", "fd00::1", std::vector{"fd00::2", "fd00::3"}}}) {
    const netlink::VxlanConfig wanted{.name = name,
                                      .vni = 8,
                                      .port = 4789,
                                      .local = ip(local),
                                      .ipv6 = ip(local).ipv6,
                                      .lower = 0,
                                      .learning = false,
                                      .mac = *MacAddress::parse("12:0a:f7:78:24:b0"),
                                      .mtu = 1500};
    good(socket_->create_vxlan(wanted));
    EXPECT_EQ(socket_->vxlan(name).value(), wanted);
    for (const auto* peer : peers) good(socket_->add_fdb(name, {.mac = {}, .to = ip(peer)}));
    good(socket_->remove_fdb(name, {.mac = {}, .to = ip(peers[0])}));
    const auto index = *socket_->index(name);
    const auto entries = *socket_->fdb(name);
    EXPECT_THAT(entries, Contains(netlink::FdbEntry{{}, ip(peers[1]), index, true}));
    EXPECT_THAT(entries, Not(Contains(netlink::FdbEntry{{}, ip(peers[0]), index, true})));
  }
  const auto clash = socket_->create_vxlan({.name = "again", .vni = 8, .local = ip("10.0.0.1")});
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().code, EEXIST) << clash.error().message;
  EXPECT_THAT(clash.error().message, HasSubstr("make VXLAN again with VNI 8"));
  EXPECT_FALSE(socket_->vxlan("lo"));
}

TEST_F(RouterObjectsTest, RulesAndTables) {
  make_pair("a", "b");
  good(socket_->add_address("a", prefix("10.0.1.1/24")));
  const netlink::TableRoute route{
      {prefix("0.0.0.0/0"), ip("10.0.1.2"), std::nullopt}, 1234, *socket_->index("a")};
  good(socket_->add_route(route));
  const netlink::Rule by_mark{.ipv6 = false,
                              .priority = 100,
                              .table = 1234,
                              .from = {},
                              .to = {},
                              .mark = 0x42,
                              .mask = 0xff,
                              .in_device = {},
                              .out_device = {}};
  const netlink::Rule by_source{.ipv6 = false,
                                .priority = 101,
                                .table = 1234,
                                .from = prefix("10.0.1.0/24"),
                                .to = {},
                                .mark = {},
                                .mask = 0xffffffff,
                                .in_device = {},
                                .out_device = {}};
  for (const auto& rule : {by_mark, by_source}) {
    good(socket_->add_rule(rule));
    EXPECT_THAT(*socket_->rules(false), Contains(rule));
    EXPECT_FALSE(socket_->add_rule(rule));
  }
  const auto present = socket_->routes(false).value();
  EXPECT_TRUE(std::ranges::any_of(present, [&](const auto& other) {
    return other.table == 1234 && other.route == route.route;
  }));
  good(socket_->remove_rule(by_mark));
  EXPECT_THAT(*socket_->rules(false), Not(Contains(by_mark)));
  good(socket_->remove_route(route));
  EXPECT_FALSE(socket_->remove_route(route));
}

TEST_F(RouterObjectsTest, TablesOfRules) {
  const std::string rules =
      R"({"nftables":[{"add":{"table":{"family":"inet","name":"warren-test"}}}]})";
  good(nftables::apply(rules));
  EXPECT_TRUE(nftables::has_table("inet", "warren-test").value());
  good(nftables::delete_table("inet", "warren-test"));
  EXPECT_FALSE(nftables::has_table("inet", "warren-test").value());
  good(nftables::delete_table("inet", "warren-test"));
  const auto wrong = nftables::apply(R"({"nftables":[{"add":{"tabel":{}}}]})");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("nft:"));
}

TEST_F(RouterObjectsTest, Sysctls) {
  good(sysctl::write("net/ipv4/ip_forward", "1"));
  EXPECT_EQ(sysctl::read("net/ipv4/ip_forward").value(), "1");
  const auto wrong = sysctl::write("net/ipv4/no_such_thing", "1");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("/proc/sys/net/ipv4/no_such_thing"));
}

}  // namespace
}  // namespace warren
