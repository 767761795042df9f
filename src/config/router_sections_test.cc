// The sections of a portable router, and everything that can be wrong with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "config/mtu_paths.h"
#include "config/network_file.h"
#include "net/kernel_node.h"
#include "tunnel/vxlan_node.h"
#include "tunnel/wireguard_node.h"

namespace warren::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto router = R"(
[bridge.br-lan2]
ports = ["lan3", "vx8"]
address = ["192.168.35.137/24"]
same-way-back = true
gateway = "192.168.35.1"
bridge-to-router = ["192.168.35.0/24"]

[vxlan.vx8]
vni = 8
over = "wg0"
peers = ["10.0.31.1", "10.0.31.104"]
static = ["02:00:00:00:00:01 10.0.31.104"]
mac = "12:0a:f7:78:24:b0"
mtu = 1370
clamp-mss = "auto"

[device.wg0]
address = ["10.0.31.103/32"]

[zone.lan]
devices = ["br-lan"]
forward = ["home"]

[zone.home]
devices = ["wg0"]
masquerade = true

[route.home]
to = "10.0.31.1/32"
dev = "wg0"

[rule.lan]
priority = 100
from = "192.168.35.0/24"
table = 11
)";

template <class Section>
const Section& section(const GraphSpec& spec, std::string_view name) {
  const auto node = std::ranges::find(spec.nodes, name, &NodeSpec::name);
  return std::get<Section>(static_cast<const net::KernelNodeConfig&>(*node->config).section());
}

TEST(RouterSections, AreReadAndPutInOrder) {
  const auto spec = parse_network(router, "home.toml");
  ASSERT_TRUE(spec) << spec.error().message;
  std::vector<std::string> names;
  for (const auto& node : spec->nodes) names.push_back(node.name);
  EXPECT_THAT(names, ElementsAre("device.wg0", "vx8", "br-lan2", "zone.lan", "zone.home",
                                 "route.home", "rule.lan"));
  const auto& vxlan = section<net::VxlanSection>(*spec, "vx8");
  EXPECT_EQ(vxlan.vni, 8U);
  EXPECT_EQ(vxlan.port, 4789);
  EXPECT_EQ(vxlan.over.where, "home.toml:11:8");
  EXPECT_EQ(vxlan.peers.size(), 2U);
  EXPECT_EQ(vxlan.entries.size(), 1U);
  EXPECT_EQ(vxlan.mtu.value, 1370U);
  EXPECT_TRUE(vxlan.clamp.on);
  EXPECT_THAT(section<net::ZoneSection>(*spec, "zone.lan").forward, ElementsAre("wg0"));
  EXPECT_EQ(section<net::RuleSection>(*spec, "rule.lan").rules.size(), 1U);
  EXPECT_EQ(section<net::BridgeSection>(*spec, "br-lan2").ports[0].where, "home.toml:3:10");
}

TEST(RouterSections, MovingALineChangesNothing) {
  const auto before = parse_network(router, "home.toml").value();
  const auto after = parse_network("\n\n" + std::string(router), "home.toml").value();
  for (std::size_t i = 0; i < before.nodes.size(); ++i)
    EXPECT_TRUE(before.nodes[i].config->equals(*after.nodes[i].config)) << before.nodes[i].name;
}

struct Mistake {
  std::string text;
  std::string message;
};

TEST(RouterSections, MistakesAreNamedWhereTheyStand) {
  const std::string vxlan = "[vxlan.vx8]\nvni = 8\n";
  for (const auto& [text, message] : std::vector<Mistake>{
           {"[vxlan.vx8]\n", "x.toml:1:1: a VXLAN needs its number"},
           {"[vxlan.vx8]\nvni = 16777216\n", "x.toml:2:7: vni in [vxlan.vx8] is 16777216"},
           {vxlan + "engine = \"turbo\"\n", "x.toml:3:10: engine is \"turbo\"; it must be"},
           {vxlan + "engine = \"user\"\ndev = \"eth0\"\n", "x.toml:4:7: dev binds a device of the"},
           {vxlan + "engine = \"user\"\n[vxlan.vx9]\nvni = 9\n",
            "x.toml:4:1: UDP port 4789 is that of \"vx8\", whose engine is our own"},
           {"links = [[\"vx8\", \"a\"]]\n[tun.a]\nmode = \"tap\"\n" + vxlan +
                "address = [\"10.0.0.1/24\"]\n",
            "x.toml:4:1: \"vx8\" is linked, and so has no device"},
           {"links = [[\"vx8\", \"a\"]]\n[tun.a]\nmode = \"tap\"\n" + vxlan +
                "engine = \"kernel\"\n",
            "[vxlan.…] has no ports; say engine = \"user\""},
           {"links = [[\"vx8\", \"a\"]]\n[tun.a]\n" + vxlan,
            "\"vx8\" carries Ethernet frames and \"a\" IP packets"},
           {vxlan + "peers = [\"10.0.0.1\", \"fd00::1\"]\n",
            "x.toml:3:22: the peer fd00::1 is IPv6"},
           {vxlan + "local = \"fd00::1\"\npeers = [\"10.0.0.1\"]\n",
            "x.toml:4:10: the peer 10.0.0.1 is IPv4"},
           {vxlan + "peers = [\"10.0.0.1\", \"10.0.0.1\"]\n",
            "x.toml:3:22: the peer 10.0.0.1 is there twice"},
           {vxlan + "local = \"10.0.0.1\"\npeers = [\"10.0.0.1\"]\n", "is this host itself"},
           {vxlan + "peers = [\"239.1.1.1\"]\n", "x.toml:3:10: \"239.1.1.1\" is no host's address"},
           {vxlan + "static = [\"02:00:00:00:00:01\"]\n",
            "x.toml:3:11: \"02:00:00:00:00:01\" is no entry"},
           {vxlan + "static = [\"02:00:00:00:00:01 10.0.0.9\"]\n",
            "10.0.0.9 is not among the peers"},
           {vxlan + "mtu = 1200\naddress = [\"fd00::1/64\"]\n", "x.toml:3:7: mtu is 1200"},
           {vxlan + "mtu = \"big\"\n", "x.toml:3:7: mtu is \"big\""},
           {vxlan + "mtu = \"transparent\"\ndev = \"eth0\"\n",
            "x.toml:4:7: mtu = \"transparent\" and dev"},
           {vxlan + "over = \"wg0\"\ndev = \"eth0\"\n", "x.toml:4:7: over and dev are two ways"},
           {vxlan + "clamp-mss = 10\n", "x.toml:3:13: clamp-mss is \"10\""},
           {vxlan + "gateway = \"10.0.0.1\"\n", "x.toml:3:11: gateway belongs to same-way-back"},
           {vxlan + "[vxlan.vx9]\nvni = 8\n",
            "x.toml:3:1: VNI 8 on port 4789 is that of \"vx8\" in line 1"},
           {"[bridge.br0]\nports = [\"br0\"]\n",
            "x.toml:2:10: the bridge \"br0\" cannot be its own port"},
           {"[bridge.br0]\nports = [\"a\", \"a\"]\n", "x.toml:2:15: the port \"a\" is there twice"},
           {"[bridge.br0]\nports = [\"a\"]\n[bridge.br1]\nports = [\"a\"]\n",
            "x.toml:3:1: \"a\" is a port of \"br0\" already"},
           {"[bridge.br0]\nsame-way-back = true\n", "x.toml:2:17: a bridge leads to many hosts"},
           {"[bridge.br0]\nbridge-to-router = [\"x\"]\n", "x.toml:2:21:"},
           {"[bridge.br0]\nmtu = 1000\naddress = [\"fd00::1/64\"]\n", "x.toml:2:7: mtu is 1000"},
           {"[zone.lan]\ndevices = [\"a\"]\nforward = [\"wan\"]\n[zone.wam]\ndevices = [\"b\"]\n",
            "no such zone; did you mean \"wam\"?"},
           {"[zone.lan]\n", "x.toml:1:1: a zone needs devices"},
           {"[route.a]\nto = \"10.0.0.0/8\"\n", "a route needs via"},
           {"[route.a]\nto = \"10.0.0.0/8\"\nvia = \"fd00::1\"\n",
            "x.toml:3:7: destination and gateway"},
           {"[rule.a]\ntable = 1\n", "x.toml:1:1: a rule needs its place"},
           {"[device.a-name-too-long-for-it]\n", "too long for a device"},
           {"links = [[\"vx8\", \"br0\"]]\n[vxlan.vx8]\nvni = 8\n[bridge.br0]\n",
            "[bridge.…] has no ports; it needs no link"},
       }) {
    const auto spec = parse_network(text, "x.toml");
    ASSERT_FALSE(spec) << text;
    EXPECT_THAT(spec.error().message, HasSubstr(message)) << text;
  }
}

std::vector<std::string> names_of(const GraphSpec& spec) {
  std::vector<std::string> names;
  for (const auto& node : spec.nodes) names.push_back(node.name);
  return names;
}

const tunnel::VxlanNodeSettings* user_vxlan(const GraphSpec& spec, std::string_view name) {
  const auto node = std::ranges::find(spec.nodes, name, &NodeSpec::name);
  const auto* config = dynamic_cast<const tunnel::VxlanNodeConfig*>(node->config.get());
  return config == nullptr ? nullptr : &config->settings();
}

TEST(VxlanEngines, OursHasADeviceAndAKernelsPart) {
  const std::string text = R"([vxlan.vx8]
vni = 8
engine = "user"
over = "eth0"
peers = ["10.0.0.2"]
static = ["02:00:00:00:00:01 10.0.0.2"]
mac = "12:0a:f7:78:24:b0"
address = ["192.168.35.2/24"]
)";
  const auto spec = parse_network(text, "home.toml");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_THAT(names_of(*spec), ElementsAre("vx8", "vxlan.vx8"));
  const auto* settings = user_vxlan(*spec, "vx8");
  ASSERT_NE(settings, nullptr);
  EXPECT_EQ(settings->vxlan.vni, 8U);
  EXPECT_EQ(settings->over, "eth0");
  EXPECT_FALSE(settings->vxlan.packets);
  EXPECT_EQ(settings->vxlan.addresses.size(), 1U);
  ASSERT_TRUE(settings->device);
  EXPECT_EQ(settings->device->name, "vx8");
  EXPECT_TRUE(settings->device->mac);
  const auto& kernels = section<net::VxlanSection>(*spec, "vxlan.vx8");
  EXPECT_EQ(kernels.engine, net::VxlanEngine::user);
  EXPECT_EQ(kernels.layer3.addresses.size(), 1U);
  const auto nowhere = [](const std::string&) { return std::optional<KnownDevice>{}; };
  EXPECT_EQ(mtu_paths(*spec, nowhere, 1500).at(0).name, "vx8");
}

TEST(VxlanEngines, OursIsAPortWhereItIsLinked) {
  const auto spec = parse_network(
      "links = [[\"vx8\", \"lan.a\"]]\n[switch.lan]\nports = [\"a\"]\n[vxlan.vx8]\nvni = 8\n",
      "x.toml");
  ASSERT_TRUE(spec) << spec.error().message;
  const auto* settings = user_vxlan(*spec, "vx8");
  ASSERT_NE(settings, nullptr);
  EXPECT_FALSE(settings->device);
  EXPECT_THAT(spec->links, ElementsAre(LinkSpec{"vx8", "lan.a"}));
}

class VxlanOverWireguard : public ::testing::Test {
 protected:
  VxlanOverWireguard() {
    std::ofstream(key_) << "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n";
    std::filesystem::permissions(key_, std::filesystem::perms::owner_read);
  }
  void TearDown() override { std::filesystem::remove(key_); }
  [[nodiscard]] GraphSpec read(const std::string& more, const std::string& address) const {
    auto spec = parse_network(
        "[wireguard.wg0]\nprivate-key-file = \"" + key_.string() + "\"\n" + address + more,
        "x.toml");
    if (!spec) throw std::runtime_error(spec.error().message);
    return std::move(*spec);
  }

  std::filesystem::path key_ =
      std::filesystem::temp_directory_path() / ("vxlan_key_" + std::to_string(::getpid()));
};

TEST_F(VxlanOverWireguard, IsOursAndJoinedWhereTheAddressIsKnown) {
  const std::string over = "[vxlan.vx8]\nvni = 8\nover = \"wg0\"\npeers = [\"10.0.31.1\"]\n";
  const std::string address = "address = [\"fd00::9/64\", \"10.0.31.103/32\"]\n";
  const std::string about = "[device.wg0]\n" + address + over;
  for (const auto& [more, at] : {std::pair(over, address), std::pair(about, std::string())}) {
    const auto spec = read(more, at);
    const auto* settings = user_vxlan(spec, "vx8");
    ASSERT_NE(settings, nullptr);
    const overlay::VxlanConfig::Packets from{IpAddress::parse("10.0.31.103").value(), 4789};
    EXPECT_EQ(settings->vxlan.packets, from);
    EXPECT_THAT(spec.links, ElementsAre(LinkSpec{"vx8.over", "wg0.vx8"}));
    const auto& wireguard =
        static_cast<const tunnel::WireguardNodeConfig&>(*spec.nodes[0].config).settings();
    EXPECT_THAT(wireguard.overlays,
                ElementsAre(tunnel::OverlaySettings{"vx8", from.from, 4789, 8}));
  }
  EXPECT_EQ(user_vxlan(read(over, ""), "vx8"), nullptr);
  EXPECT_EQ(user_vxlan(read(over + "engine = \"kernel\"\n", address), "vx8"), nullptr);
  EXPECT_NE(user_vxlan(read(over + "mtu = \"transparent\"\n", address), "vx8"), nullptr);
}

TEST(MtuPaths, FollowTheFileTheMachineAndTheDefaults) {
  const auto spec = parse_network(router, "home.toml").value();
  const auto unknown = [](const std::string&) { return std::optional<KnownDevice>{}; };
  auto paths = mtu_paths(spec, unknown, 1492);
  ASSERT_EQ(paths.size(), 1U);
  EXPECT_EQ(paths[0].bridge, "br-lan2");
  EXPECT_EQ(paths[0].vni, 8U);
  EXPECT_EQ(paths[0].path.wire, "wg0");
  EXPECT_EQ(paths[0].path.wire_mtu, 1492U);
  EXPECT_EQ(paths[0].path.tunnels.size(), 1U);
  const auto wireguard = [](const std::string& name) {
    return name == "wg0" ? std::optional(KnownDevice{1420, true}) : std::nullopt;
  };
  paths = mtu_paths(spec, wireguard, 1492);
  EXPECT_EQ(paths[0].path.wire, "wire");
  ASSERT_EQ(paths[0].path.tunnels.size(), 2U);
  EXPECT_EQ(paths[0].path.tunnels[0].kind, l3::Encapsulation::wireguard);
  EXPECT_EQ(paths[0].path.tunnels[0].mtu.value, 1420U);
  // What the file tells a device counts before what it is now.
  const auto narrow =
      parse_network("[device.eth0]\nmtu = 1400\n[vxlan.vx8]\nvni = 8\nover = \"eth0\"\n", "x")
          .value();
  EXPECT_EQ(mtu_paths(narrow, unknown, 1500)[0].path.wire_mtu, 1400U);
  EXPECT_EQ(mtu_paths(narrow, unknown, 1500)[0].entry(), l3::Entry::routed);
}

}  // namespace
}  // namespace warren::config
