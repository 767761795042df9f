#include "bench/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::bench {
namespace {

using testing::HasSubstr;

const std::string small = R"(title = "Small"
hosts = ["a", "b"]

[workload.tcp]
client = "a"
server = "b"
address = "10.0.0.2"

[wire.cable]
mtu = 9000
offload = { tso = false }
[[wire.cable.end]]
host = "a"
device = "eth0"
address = ["10.0.0.1/24"]
[[wire.cable.end]]
host = "b"
device = "eth0"
address = ["10.0.0.2/24"]
mtu = 1500

[forwarder]
host = "a"
arguments = "--mtu 1500"
[[forwarder.move]]
device = "tun0"
to = "b"

[[row]]
name = "direct"
wires = ["cable"]

[[row]]
name = "theirs"
command = "their-forwarder --fast"
peer = true
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

std::string error_of(const std::string& text) {
  const auto scenario = parse_scenario(text, "small.toml");
  return scenario ? "no error" : scenario.error().message;
}

TEST(Scenario, ReadsWhatItSays) {
  const auto scenario = parse_scenario(small, "dir/small.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->name, "small");
  EXPECT_EQ(scenario->title, "Small");
  ASSERT_EQ(scenario->wires.size(), 1U);
  const auto& ends = scenario->wires[0].ends;
  EXPECT_EQ(ends[0].mtu, 9000U);
  EXPECT_EQ(ends[1].mtu, 1500U);
  EXPECT_EQ(ends[0].offload.at(ethtool::Feature::tso), false);
  EXPECT_EQ(ends[0].addresses[0].to_string(), "10.0.0.1/24");
  ASSERT_EQ(scenario->rows.size(), 2U);
  EXPECT_TRUE(scenario->rows[1].peer);
  EXPECT_EQ(scenario->workloads[0].iperf3.directions.size(), 2U);
  EXPECT_EQ(scenario->workloads[0].iperf3.congestion, "cubic");
}

TEST(Scenario, NamesTheUnknownHostWithItsPlaceAndTheNearest) {
  const auto error =
      error_of(replaced(replaced(small, "hosts = [\"a\", \"b\"]", "hosts = [\"alpha\", \"b\"]"),
                        "client = \"a\"", "client = \"alpa\""));
  EXPECT_THAT(error, HasSubstr("small.toml:5:"));
  EXPECT_THAT(error, HasSubstr("unknown host \"alpa\""));
  EXPECT_THAT(error, HasSubstr("alpha"));
}

TEST(Scenario, NamesTheUnknownKey) {
  const auto error = error_of(replaced(small, "title =", "titel ="));
  EXPECT_THAT(error, HasSubstr("small.toml:1:1"));
  EXPECT_THAT(error, HasSubstr("titel"));
  EXPECT_THAT(error, HasSubstr("title"));
}

TEST(Scenario, RefusesWhatCannotBe) {
  EXPECT_THAT(error_of(replaced(small, "10.0.0.1/24", "10.0.0.256/24")), HasSubstr("10.0.0.256"));
  EXPECT_THAT(error_of(replaced(small, "wires = [\"cable\"]", "wires = [\"cabel\"]")),
              HasSubstr("\"cable\""));
  EXPECT_THAT(error_of(replaced(small, "name = \"theirs\"", "name = \"direct\"")),
              HasSubstr("already a row"));
  EXPECT_THAT(error_of(replaced(small, "mtu = 9000", "join = \"redirect-peer\"")),
              HasSubstr("via"));
  EXPECT_THAT(error_of(replaced(small, "client = \"a\"\n", "")), HasSubstr("client"));
  EXPECT_THAT(error_of("hosts = []"), HasSubstr("hosts"));
  EXPECT_THAT(error_of("hosts = [\"a\""), HasSubstr("small.toml:1"));
}

TEST(Scenario, TakesRowsOfTheUsersOwn) {
  auto scenario = *parse_scenario(small, "small.toml");
  ASSERT_TRUE(scenario.set_row("mine", "./mine --threads 2", false));
  EXPECT_EQ(scenario.find_row("mine")->command, "./mine --threads 2");
  ASSERT_TRUE(scenario.set_row("theirs", "/opt/theirs", true));
  EXPECT_EQ(scenario.find_row("theirs")->command, "/opt/theirs");
  EXPECT_EQ(scenario.rows.size(), 3U);
  EXPECT_FALSE(scenario.set_row("direct", "./mine", false));
}

}  // namespace
}  // namespace warren::bench
