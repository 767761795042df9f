#include "config/network_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/sections.h"
#include "io/impair_node.h"
#include "io/tun_node.h"

namespace warren::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

GraphSpec parsed(std::string_view text) {
  auto spec = parse_network(text, "home.toml");
  if (!spec) throw std::runtime_error(spec.error().message);
  return std::move(*spec);
}

std::string refused(std::string_view text) {
  const auto spec = parse_network(text, "home.toml");
  return spec ? "" : spec.error().message;
}

TEST(NetworkFile, ReadsEveryKeyOfATun) {
  const auto spec = parsed(R"(
    [tun.tap0]
    mode = "tap"
    netns = "left"
    address = ["10.0.1.1/24", "fd00::1/64"]
    mtu = 9000
    mac = "02:00:00:00:00:01"
    queues = 2
    owner = 1000
    group = "root"
    tx-queue-length = 2000
    persist = true
    up = true
    offload = false
    routes = ["10.0.0.0/8 via 10.0.1.2 metric 5", "default via fd00::2"]
  )");
  ASSERT_EQ(spec.nodes.size(), 1U);
  const auto& tun = dynamic_cast<const TunNodeConfig&>(*spec.nodes[0].config).settings();
  EXPECT_EQ(tun.name, "tap0");
  EXPECT_EQ(tun.mode, TunMode::tap);
  EXPECT_EQ(tun.netns, "left");
  ASSERT_EQ(tun.addresses.size(), 2U);
  EXPECT_EQ(tun.addresses[0].to_string(), "10.0.1.1/24");
  EXPECT_EQ(tun.addresses[1].to_string(), "fd00::1/64");
  EXPECT_EQ(tun.mtu, 9000U);
  EXPECT_EQ(tun.mac->to_string(), "02:00:00:00:00:01");
  EXPECT_EQ(tun.queues, 2U);
  EXPECT_EQ(tun.owner, 1000U);
  EXPECT_EQ(tun.group, 0U);
  EXPECT_EQ(tun.tx_queue_length, 2000U);
  EXPECT_TRUE(tun.persist);
  EXPECT_FALSE(tun.offload);
  ASSERT_EQ(tun.routes.size(), 2U);
  EXPECT_EQ(tun.routes[0].metric, 5U);
  EXPECT_TRUE(tun.routes[1].destination.address.ipv6);
  EXPECT_EQ(tun.routes[1].destination.length, 0U);
}

TEST(NetworkFile, NodesKeepTheOrderOfTheFileAndLinksTheirPorts) {
  const auto spec = parsed(R"(
    links = [["tun22", "line.a"], ["line.b", "tun11"]]
    [tun.tun22]
    [impair.line]
    loss = "1%"
    delay = "10ms"
    jitter = "1ms"
    rate = "500mbit"
    seed = 7
    [tun.tun11]
  )");
  ASSERT_EQ(spec.nodes.size(), 3U);
  EXPECT_EQ(spec.nodes[0].name, "tun22");
  EXPECT_EQ(spec.nodes[1].name, "line");
  EXPECT_EQ(spec.nodes[2].name, "tun11");
  EXPECT_THAT(spec.links, ElementsAre(LinkSpec{"tun22", "line.a"}, LinkSpec{"line.b", "tun11"}));
  const auto& line = dynamic_cast<const ImpairNodeConfig&>(*spec.nodes[1].config).impairment();
  EXPECT_DOUBLE_EQ(line.loss, 0.01);
  EXPECT_EQ(line.delay, 10ms);
  EXPECT_EQ(line.rate, 500'000'000U);
  EXPECT_EQ(line.seed, 7U);
  const auto& tun = dynamic_cast<const TunNodeConfig&>(*spec.nodes[0].config).settings();
  EXPECT_TRUE(tun.up);
  EXPECT_TRUE(tun.offload);
}

TEST(NetworkFile, WhatIsWrongWithADevice) {
  EXPECT_THAT(
      refused("[tun.a]\nadress = []\n"),
      HasSubstr("home.toml:2:1: unknown key \"adress\" in [tun.a]; did you mean \"address\"?"));
  EXPECT_THAT(refused("[tun.a]\naddress = [\"10.0.1.1/24\", \"10.0.1.300/24\"]\n"),
              HasSubstr("home.toml:2:27: \"10.0.1.300/24\" is not an address"));
  EXPECT_THAT(refused("[tun.a234567890123456]\n"),
              HasSubstr("is too long for a device: 16 bytes, and 15"));
  EXPECT_THAT(refused("[tun.\"a b\"]\n"), HasSubstr("cannot name a device"));
  EXPECT_THAT(refused("[tun.\"a.b\"]\n"), HasSubstr("has no dot"));
  EXPECT_THAT(refused("[tun.a]\nmode = \"tap\"\nmac = \"02:00:00:00:00\"\n"),
              HasSubstr("home.toml:3:7: \"02:00:00:00:00\" is not a MAC address"));
  EXPECT_THAT(refused("[tun.a]\nmode = \"tap\"\nmac = \"01:00:00:00:00:00\"\n"),
              HasSubstr("multicast"));
  EXPECT_THAT(refused("[tun.a]\nmac = \"02:00:00:00:00:01\"\n"), HasSubstr("mode = \"tap\""));
  EXPECT_THAT(refused("[tun.a]\nmtu = 67\n"),
              HasSubstr("mtu in [tun.a] is 67; it must be from 68 to 65535"));
  EXPECT_THAT(refused("[tun.a]\nmode = \"tub\"\n"), HasSubstr("mode is \"tub\""));
  EXPECT_THAT(refused("[tun.a]\nowner = \"no-such-user\"\n"),
              HasSubstr("no user \"no-such-user\""));
  EXPECT_THAT(refused("[tun.a]\nowner = -1\n"), HasSubstr("no user \"-1\""));
}

TEST(NetworkFile, WhatIsWrongWithALink) {
  constexpr std::string_view nodes =
      "[tun.tun11]\n[tun.tun22]\n[tun.tap0]\nmode = \"tap\"\n[impair.line]\n";
  const auto refused_links = [&](std::string_view links) {
    return refused("links = " + std::string(links) + "\n" + std::string(nodes));
  };
  EXPECT_THAT(refused_links(R"([["tun11", "tun23"]])"),
              HasSubstr("home.toml:1:20: link to \"tun23\": there is no node \"tun23\"; did you "
                        "mean \"tun22\"?"));
  EXPECT_THAT(refused_links(R"([["tun11", "tun22"], ["tun22", "line.a"]])"),
              HasSubstr("\"tun22\" is linked twice"));
  EXPECT_THAT(refused_links(R"([["tun11", "tun11"]])"), HasSubstr("\"tun11\" is linked twice"));
  EXPECT_THAT(refused_links(R"([["tun11"]])"), HasSubstr("a link has two ends"));
  EXPECT_THAT(refused_links(R"([[]])"), HasSubstr("a link has two ends"));
  EXPECT_THAT(refused_links(R"(["tun11", "tun22"])"), HasSubstr("an array of arrays of strings"));
  EXPECT_THAT(refused_links(R"([["tun11", "line"]])"),
              HasSubstr("say which port, \"line.a\" or \"line.b\""));
  EXPECT_THAT(refused_links(R"([["tun11.x", "tun22"]])"),
              HasSubstr("has one port; write \"tun11\""));
  EXPECT_THAT(refused_links(R"([["tun11", "tap0"]])"),
              HasSubstr("\"tun11\" carries IP packets and \"tap0\" Ethernet frames"));
}

TEST(NetworkFile, WhatIsWrongWithTheWhole) {
  EXPECT_EQ(refused(""), "home.toml: describes no node; add a section such as [tun.tun0]");
  EXPECT_THAT(refused("[tum.a]\n"),
              HasSubstr("unknown key \"tum\" in the file; did you mean \"tun\"?"));
  EXPECT_THAT(refused("[tun.a]\n[impair.a]\n"),
              HasSubstr("home.toml:2:1: there is another node \"a\", in line 1"));
  EXPECT_THAT(refused("tun = 1\n"), HasSubstr("must be a table, not an integer"));
  EXPECT_THAT(refused("[tun.a]\nmtu = 1\nmac = 1\n[tun.b]\nmtu = 2\n"),
              HasSubstr("\nhome.toml:5:"));
}

TEST(Route, ParsesAndRefuses) {
  const auto route = parse_route("10.0.0.0/8 via 10.0.1.2 metric 5");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.to_string(), "10.0.0.0/8");
  EXPECT_EQ(route->via->to_string(), "10.0.1.2");
  EXPECT_TRUE(parse_route("  fd00::/8   metric 1 "));
  EXPECT_FALSE(parse_route("default")->destination.address.ipv6);
  for (const auto* bad :
       {"", "10.0.0.0/33", "10.0.0.0/8 via", "10.0.0.0/8 via x", "10.0.0.0/8 dev eth0",
        "10.0.0.0/8 via fd00::1", "10.0.0.0/8 metric -1", "10.0.0.0/8 metric 1 metric 2"})
    EXPECT_FALSE(parse_route(bad)) << bad;
}

}  // namespace
}  // namespace warren::config
