#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/network_file.h"
#include "l2/switch_node.h"

namespace warren::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refused(std::string_view text) {
  const auto spec = parse_network(text, "home.toml");
  return spec ? "" : spec.error().message;
}

TEST(SwitchSection, ReadsEveryKey) {
  const auto spec = parse_network(R"(
    links = [["tap0", "lan.home"], ["tap1", "lan.guests"]]
    [tun.tap0]
    mode = "tap"
    [tun.tap1]
    mode = "tap"
    [switch.lan]
    ports = ["home", "guests", "more"]
    isolated = ["guests", "more"]
    static = ["02:00:00:00:00:01 home"]
    ageing = "30s"
    max-addresses = 100
  )",
                                  "home.toml");
  ASSERT_TRUE(spec) << spec.error().message;
  const auto& config = dynamic_cast<const l2::SwitchNodeConfig&>(*spec->nodes.at(2).config);
  const auto& settings = config.settings();
  EXPECT_THAT(settings.ports, ElementsAre("home", "guests", "more"));
  EXPECT_THAT(settings.isolated, ElementsAre("guests", "more"));
  ASSERT_EQ(settings.addresses.size(), 1U);
  EXPECT_EQ(settings.addresses[0].mac.to_string(), "02:00:00:00:00:01");
  EXPECT_EQ(settings.addresses[0].port, "home");
  EXPECT_EQ(settings.table.ageing, 30s);
  EXPECT_EQ(settings.table.max_entries, 100U);
}

TEST(SwitchSection, SaysWhatIsWrong) {
  EXPECT_THAT(refused("[switch.lan]"), HasSubstr("home.toml:1:1: a switch needs"));
  EXPECT_THAT(refused("[switch.lan]\nports = [\"a\", \"b.c\", \"a\"]"),
              testing::AllOf(HasSubstr("home.toml:2:15: \"b.c\" cannot name a port"),
                             HasSubstr("two ports \"a\"")));
  const auto with = [](const std::string& line) {
    return refused("[switch.lan]\nports = [\"home\", \"guests\"]\n" + line);
  };
  EXPECT_EQ(with(""), "");
  EXPECT_THAT(with("isolated = [\"guest\"]"), HasSubstr("did you mean \"guests\""));
  EXPECT_THAT(with("static = [\"02:00:00:00:00:01\"]"), HasSubstr("is no static address"));
  EXPECT_THAT(with("static = [\"03:00:00:00:00:01 home\"]"), HasSubstr("no single host's"));
  EXPECT_THAT(with("static = [\"02:00:00:00:00:01 hom\"]"), HasSubstr("no port \"hom\""));
  EXPECT_THAT(with("static = [\"02:00:00:00:00:01 home\", \"02:00:00:00:00:01 guests\"]"),
              HasSubstr("twice"));
  EXPECT_THAT(with("ageing = \"0s\""), HasSubstr("never known"));
  EXPECT_THAT(with("max-addresses = 0"), HasSubstr("max-addresses"));
}

TEST(SwitchSection, LinksNameItsPorts) {
  const std::string file =
      "[tun.t]\nmode = \"tap\"\n[tun.ip]\n[switch.lan]\nports = [\"home\", \"guests\"]\n";
  EXPECT_EQ(refused("links = [[\"t\", \"lan.home\"]]\n" + file), "");
  EXPECT_THAT(refused("links = [[\"t\", \"lan\"]]\n" + file),
              HasSubstr("say which port, \"lan.home\" or \"lan.guests\""));
  EXPECT_THAT(refused("links = [[\"t\", \"lan.x\"]]\n" + file), HasSubstr("say which port"));
  EXPECT_THAT(refused("links = [[\"ip\", \"lan.home\"]]\n" + file),
              HasSubstr("Ethernet frames: they cannot be linked"));
}

}  // namespace
}  // namespace warren::config
