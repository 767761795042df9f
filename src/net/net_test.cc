// Settings, their undoing, and the journal, in a namespace that vanishes with the test.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "linux/nftables.h"
#include "linux/sysctl.h"
#include "linux/testing.h"
#include "net/bridge_router.h"
#include "net/journal.h"
#include "net/sections.h"

namespace warren::net {
namespace {

using namespace warren::testing;  // NOLINT
using ::testing::HasSubstr;

class NetTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (!socket_) return;
    for (const auto& [a, b] : {std::pair{"lan3", "laptop"}, {"wg0", "far"}}) {
      good(socket_->create_veth({.name = a, .peer_name = b}));
      good(socket_->set_up(b, true));
    }
    good(socket_->set_up("wg0", true));
    good(socket_->set_mtu("wg0", 1420));
    good(socket_->add_address("wg0", prefix("10.0.31.103/24")));
  }

  // Everything that settings change.
  std::string state() {
    std::string text;
    const auto links = socket_->links().value();
    for (const auto& link : links) {
      text += link.name + " " + std::to_string(link.mtu) + " " + std::to_string(link.master) + " " +
              link.mac.to_string() + (link.up ? " up" : "") + "\n";
      const auto addresses = socket_->addresses(link.name).value();
      for (const auto& address : addresses)
        if (!address.address.ipv6) text += "  " + address.to_string() + "\n";
    }
    const auto routes = socket_->routes(false).value();
    for (const auto& route : routes)
      text += route.route.destination.to_string() + " " + std::to_string(route.table) + "\n";
    const auto rules = socket_->rules(false).value();
    for (const auto& rule : rules) text += "rule " + std::to_string(rule.table) + "\n";
    for (const auto* name :
         {"net/ipv4/ip_forward", "net/ipv4/conf/all/send_redirects", "net/ipv4/conf/wg0/rp_filter"})
      text += sysctl::read(name).value() + "\n";
    return text;
  }

  void holds(const Setting& setting, bool expected) {
    const auto there = setting.there(*socket_);
    ASSERT_TRUE(there) << setting.text() << ": " << there.error().message;
    EXPECT_EQ(*there, expected) << setting.text();
  }
  // Applies all, checks that all hold, and takes them back.
  void there_and_back(const Settings& settings) {
    const auto before = state();
    std::vector<Undo> undos;
    for (const auto& setting : settings) {
      const auto there = setting.there(*socket_);
      ASSERT_TRUE(there) << setting.text();
      if (*there) continue;
      const auto undo = setting.undo(*socket_);
      ASSERT_TRUE(undo) << setting.text() << ": " << undo.error().message;
      undos.push_back(*undo);
      good(setting.apply(*socket_));
      holds(setting, true);
    }
    EXPECT_FALSE(undos.empty());
    for (auto undo = undos.rbegin(); undo != undos.rend(); ++undo) good(perform(*undo, *socket_));
    EXPECT_EQ(state(), before);
    // Taking back what is gone is no error.
    for (auto undo = undos.rbegin(); undo != undos.rend(); ++undo) good(perform(*undo, *socket_));
  }
};

TEST_F(NetTest, EverySectionGoesThereAndBack) {
  BridgeSection bridge;
  bridge.ports = {{"lan3", ""}};
  bridge.mac = MacAddress::parse("02:00:00:00:00:09").value();
  bridge.mtu = 1370;
  bridge.layer3.addresses = {prefix("192.168.35.137/24")};
  bridge.layer3.same_way_back = true;
  bridge.layer3.gateway = ip("192.168.35.1");
  for (const auto method : {BridgeToRouter::Method::automatic, BridgeToRouter::Method::tc}) {
    bridge.router = {{prefix("192.168.35.0/24")}, method};
    there_and_back(settings_of("br0", bridge));
  }
  VxlanSection vxlan;
  vxlan.vni = 8;
  vxlan.over = {"wg0", ""};
  vxlan.peers = {ip("10.0.31.1"), ip("10.9.9.9")};  // the second has no route yet
  vxlan.entries = {{.mac = MacAddress::parse("02:00:00:00:00:01").value(), .to = ip("10.0.31.1")}};
  vxlan.mac = MacAddress::parse("12:0a:f7:78:24:b0").value();
  vxlan.clamp.on = true;
  there_and_back(settings_of("vx8", vxlan));
  DeviceSection device;
  device.mtu = 1400;
  device.mac = MacAddress::parse("02:00:00:00:00:03").value();
  device.clamp.on = true;
  device.layer3.addresses = {prefix("10.5.0.1/24")};
  device.layer3.routes = {{prefix("10.6.0.0/16"), ip("10.5.0.2"), 7U}};
  there_and_back(settings_of("lan3", device));
  there_and_back(settings_of("", ZoneSection{.devices = {"lan3"},
                                             .forward = {"wg0"},
                                             .masquerade = true,
                                             .ipv6 = false,
                                             .clamp = {.on = true}}));
  RouteSection route;
  route.route = {{prefix("0.0.0.0/0"), ip("10.0.31.1"), std::nullopt}, "wg0", 1234, false};
  there_and_back(settings_of("", route));
  RuleSection rule;
  rule.rules = {{.priority = 100,
                 .table = 1234,
                 .from = prefix("10.0.0.0/8"),
                 .to = {},
                 .mark = {},
                 .mask = 0xffffffff}};
  there_and_back(settings_of("", rule));
}

TEST_F(NetTest, AnAutomaticMtuFollowsTheDeviceBelow) {
  VxlanSection vxlan;
  vxlan.vni = 8;
  vxlan.over = {"wg0", ""};
  EXPECT_EQ(vxlan_fit(vxlan, *socket_).value(), 1370U);
  const auto settings = settings_of("vx8", vxlan);
  for (const auto& setting : settings) good(setting.apply(*socket_));
  const auto mtu = std::ranges::find(settings, "MTU of vx8", &Setting::key);
  ASSERT_NE(mtu, settings.end());
  holds(*mtu, true);
  EXPECT_EQ(socket_->link("vx8")->mtu, 1370U);
  good(socket_->set_mtu("wg0", 1300));
  holds(*mtu, false);
  // A VXLAN that is bound goes with its device; one that is not stays.
  good(socket_->delete_link("wg0"));
  EXPECT_TRUE(socket_->link("vx8"));
  EXPECT_FALSE(vxlan_source(vxlan, *socket_));
}

TEST_F(NetTest, LeavesAloneWhatSomebodyElseChangedSince) {
  good(sysctl::write("net/ipv4/ip_forward", "0"));
  const auto forward = has_sysctl("net/ipv4/conf/wg0/rp_filter", "2");
  const auto undo = forward.undo(*socket_).value();
  good(forward.apply(*socket_));
  good(sysctl::write("net/ipv4/conf/wg0/rp_filter", "1"));
  good(perform(undo, *socket_));
  EXPECT_EQ(sysctl::read("net/ipv4/conf/wg0/rp_filter").value(), "1");
  // A device of the same name that somebody else made.
  const auto bridge = bridge_exists({.name = "br0"});
  const auto no_bridge = bridge.undo(*socket_).value();
  good(socket_->create_bridge({.name = "br0"}));
  good(socket_->set_alias("br0", "mine"));
  good(perform(no_bridge, *socket_));
  EXPECT_TRUE(socket_->link("br0"));
  const auto taken = bridge.undo(*socket_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("br0 exists already"));
}

TEST_F(NetTest, TheJournalOutlivesItsInstance) {
  const auto path = ::testing::TempDir() + "warren-journal-" + std::to_string(::getpid());
  const auto before = state();
  {
    Journal killed;
    good(killed.open("home", path));
    const auto mtu = has_mtu("lan3", 1400);
    good(killed.add(mtu.undo(*socket_).value()));
    good(mtu.apply(*socket_));
    const auto address = has_address("lan3", prefix("10.5.0.1/24"));
    good(killed.add(address.undo(*socket_).value()));
    good(address.apply(*socket_));
    // Noted, and killed before it was made.
    good(killed.add({{"route", "10.6.0.0/16", "", "", "254", "lan3"}}));
  }
  EXPECT_EQ(Journal::left_behind(path).value(), 3U);
  {
    const auto elsewhere = create_netns().value();
    const auto scope = NetnsScope::enter(elsewhere.get()).value();
    const auto left = Journal::left_behind(path);
    ASSERT_FALSE(left);
    EXPECT_THAT(left.error().message, HasSubstr("another network namespace"));
  }
  Journal next;
  good(next.open("home", path));
  EXPECT_EQ(state(), before);
  EXPECT_FALSE(std::filesystem::exists(path));
  // Lines that nobody understands stop nothing.
  std::ofstream(path) << "[\"netns\"]\nnonsense\n[\"frobnicate\",\"x\"]\n[1,2]\n";
  Journal another;
  good(another.open("home", path));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace warren::net
