#include "bench/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/missing.h"
#include "bench/placeholders.h"
#include "bench/round_trip.h"
#include "bench/runner.h"

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

const std::string carried = R"(hosts = ["a", "b"]
tools = ["their-tunnel"]
duration = 2
warmup = 0
repeat = 7

[workload.rate]
client = "a"
server = "b"
address = "10.0.2.1"
protocol = "udp"
rate = "0"
length = 64

[workload.time]
tool = "round-trip"
client = "a"
server = "b"
address = "10.0.2.1"

[wire.cable]
[[wire.cable.end]]
host = "a"
device = "eth0"
routes = ["10.0.2.0/24 via 10.0.1.2"]
[[wire.cable.end]]
host = "b"
device = "eth0"

[program.key]
host = "a"
ends = true
output = "key"
command = "sh -c 'umask 077; cat /run/secret'"

[program.tunnel]
host = "b"
command = "{tunnel} --key {key} {warren}"
ready = "ip link show tun0"

[group.both]
programs = ["key", "tunnel"]

[[row]]
name = "tunnel"
relative-to = "plain"
wires = ["cable"]
programs = ["both"]
variables = { tunnel = "{their-tunnel} --mtu 1400" }

[[row]]
name = "plain"
wires = ["cable"]
workloads = ["rate"]

[view.published]
workload = "rate"
base = "plain"
rows = ["plain", "tunnel"]
)";

TEST(Scenario, ReadsWhatStandsAroundTheTraffic) {
  const auto scenario = parse_scenario(carried, "carried.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->timing.duration_s, 2);
  EXPECT_EQ(scenario->timing.warmup_s, 0);
  EXPECT_EQ(scenario->timing.repeat, 7);
  EXPECT_EQ(scenario->wires[0].ends[0].routes.at(0).via->to_string(), "10.0.1.2");
  const auto& key = scenario->programs[0];
  EXPECT_TRUE(key.ends);
  EXPECT_EQ(key.output, "key");
  EXPECT_EQ(scenario->programs[1].ready, "ip link show tun0");
  const auto& rate = scenario->workloads[0];
  const auto& time = scenario->workloads[1];
  EXPECT_EQ(time.tool, Workload::Tool::round_trip);
  EXPECT_EQ(time.iperf3.length, RoundTrip::default_length);
  const auto* tunnel = scenario->find_row("tunnel");
  const auto* plain = scenario->find_row("plain");
  EXPECT_EQ(tunnel->relative_to, "plain");
  EXPECT_THAT(tunnel->programs, testing::ElementsAre("key", "tunnel"));
  EXPECT_TRUE(tunnel->runs(time));
  EXPECT_TRUE(plain->runs(rate));
  EXPECT_FALSE(plain->runs(time));
  EXPECT_EQ(&first_workload(*scenario, *tunnel), &rate);
  ASSERT_NE(scenario->find_view("published"), nullptr);
  EXPECT_EQ(scenario->find_view("published")->rows.size(), 2U);
}

TEST(Scenario, RefusesAnOutputThatNeverComes) {
  EXPECT_THAT(error_of(replaced(carried, "ends = true\n", "")), HasSubstr("ends = true"));
  EXPECT_THAT(error_of(replaced(carried, "relative-to = \"plain\"", "relative-to = \"plai\"")),
              HasSubstr("\"plain\""));
  EXPECT_THAT(error_of(replaced(carried, "workloads = [\"rate\"]", "workloads = [\"rat\"]")),
              HasSubstr("\"rate\""));
  EXPECT_THAT(error_of(replaced(carried, "base = \"plain\"", "base = \"plai\"")),
              HasSubstr("\"plain\""));
}

TEST(Scenario, KnowsWhereToolsAre) {
  auto scenario = *parse_scenario(carried, "carried.toml");
  const Places places{"/usr/bin/warren", "/examples", "/scenarios"};
  const auto row = *scenario.find_row("tunnel");
  EXPECT_EQ(missing_part(scenario, row, places), "not installed: no program their-tunnel");
  EXPECT_EQ(missing_part(scenario, *scenario.find_row("plain"), places), std::nullopt);
  const auto unknown = scenario.set_row("their-tunel", "/bin/sh", true);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("\"their-tunnel\""));
  ASSERT_TRUE(scenario.set_row("their-tunnel", "/bin/sh -e", true));
  EXPECT_EQ(missing_part(scenario, row, places), std::nullopt);
  const auto& command = scenario.programs[1].command;
  const Outputs outputs = {{"key", "two words"}};
  const auto words = expand_command(command, scenario, row, places, outputs);
  ASSERT_TRUE(words) << words.error().message;
  EXPECT_THAT(*words, testing::ElementsAre("/bin/sh", "-e", "--mtu", "1400", "--key", "two words",
                                           "/usr/bin/warren"));
}

const std::string varied = R"(hosts = ["a", "b"]
tools = ["theirs"]
relative-to = "theirs"

[quick]
rows = ["theirs", "ours+far"]
workloads = ["tcp"]
duration = 1
warmup = 0
repeat = 2

[workload.tcp]
client = "a"
server = "b"
address = "10.0.0.2"

[workload.loaded]
tool = "ping"
interval = "2ms"
beside = "tcp"
client = "a"
server = "b"
address = "10.0.0.2"

[workload.handshakes]
tool = "handshakes"
client = "a"
server = "b"
interface = "wg0"
endpoint = "10.0.0.2"
sources = "10.64.0.0/20"
initiators = 1000

[wire.near]
[[wire.near.end]]
host = "a"
device = "eth0"
[[wire.near.end]]
host = "b"
device = "eth0"

[wire.far]
[[wire.far.end]]
host = "a"
device = "eth0"
[[wire.far.end]]
host = "b"
device = "eth0"

[program.tunnel]
host = "a"
command = "{theirs} --peers {peers} --to {endpoint}"

[program.noise]
host = "a"
command = "true"
load = true

[variant.far]
about = "from afar"
wires = ["far"]
address = "10.0.1.2"
variables = { endpoint = "far" }

[variant.many]
workloads = ["tcp"]
programs = ["noise"]
peers = 100
relative-to = "plain"

[variant.much]
relative-to = "many"

[[row]]
name = "theirs"
about = "Theirs"
variants = ["many", "far"]
wires = ["near"]
programs = ["tunnel"]
variables = { endpoint = "near", other = "stays" }

[[row]]
name = "ours"
about = "Ours"
kernel-link = "veth"
io = "epoll"
variants = ["far", "many", "much"]
relative-to = "theirs"
wires = ["near"]
programs = ["tunnel"]
variables = { endpoint = "near", other = "stays" }
)";

TEST(Scenario, MakesVariantsOfRows) {
  const auto scenario = parse_scenario(varied, "varied.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  std::vector<std::string> names;
  for (const auto& row : scenario->rows) names.push_back(row.name);
  // Rows that are compared stand together.
  EXPECT_THAT(names, testing::ElementsAre("theirs", "ours", "theirs+far", "ours+far", "theirs+many",
                                          "ours+many", "ours+much"));
  const auto* far = scenario->find_row("ours+far");
  EXPECT_EQ(far->about, "Ours; from afar");
  EXPECT_EQ(far->variant, "far");
  EXPECT_EQ(far->plain, "ours");
  EXPECT_EQ(far->kernel_link, "veth");
  EXPECT_EQ(far->io, "epoll");
  EXPECT_EQ(far->relative_to, "theirs+far");
  EXPECT_THAT(far->wires, testing::ElementsAre("far"));
  EXPECT_THAT(far->programs, testing::ElementsAre("tunnel"));
  EXPECT_EQ(far->address, "10.0.1.2");
  EXPECT_EQ(far->variables.at("endpoint"), "far");
  EXPECT_EQ(far->variables.at("other"), "stays");
  const auto* many = scenario->find_row("ours+many");
  EXPECT_EQ(many->relative_to, "ours");
  EXPECT_THAT(many->programs, testing::ElementsAre("tunnel", "noise"));
  EXPECT_THAT(many->workloads, testing::ElementsAre("tcp"));
  EXPECT_EQ(scenario->find_row("ours+much")->relative_to, "ours+many");
  EXPECT_EQ(scenario->counterpart(*many, "theirs"), "theirs+many");
  EXPECT_EQ(scenario->counterpart(*scenario->find_row("ours"), "theirs"), "theirs");
  EXPECT_EQ(scenario->counterpart(*scenario->find_row("ours+much"), "theirs"), "theirs");
  const auto words =
      expand_command(named(scenario->programs, "tunnel").command, *scenario, *many, {});
  ASSERT_TRUE(words);
  EXPECT_THAT(*words, testing::ElementsAre("theirs", "--peers", "100", "--to", "near"));
  EXPECT_TRUE(named(scenario->programs, "noise").load);
}

TEST(Scenario, ReadsWorkloadsInTheFilesOrder) {
  const auto scenario = parse_scenario(varied, "varied.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_EQ(scenario->workloads.size(), 3U);
  const auto& loaded = scenario->workloads[1];
  EXPECT_EQ(loaded.tool, Workload::Tool::ping);
  EXPECT_EQ(loaded.ping.interval, std::chrono::milliseconds(2));
  EXPECT_EQ(loaded.beside, "tcp");
  const auto beside = workload_beside(*scenario, loaded, *scenario->find_row("ours+far"));
  ASSERT_TRUE(beside);
  EXPECT_EQ(beside->address, "10.0.1.2");
  EXPECT_FALSE(workload_beside(*scenario, scenario->workloads[0], scenario->rows[0]));
  const auto& handshakes = scenario->workloads[2].handshakes;
  EXPECT_EQ(handshakes.device, "wg0");
  EXPECT_EQ(handshakes.initiators, 1000);
  EXPECT_EQ(handshakes.sources.to_string(), "10.64.0.0/20");
  EXPECT_THAT(scenario->quick.rows, testing::ElementsAre("theirs", "ours+far"));
  EXPECT_THAT(scenario->quick.workloads, testing::ElementsAre("tcp"));
  EXPECT_EQ(scenario->quick.repeat, 2);
}

TEST(Scenario, RefusesVariantsAndLoadsThatCannotBe) {
  EXPECT_THAT(error_of(replaced(varied, "variants = [\"far\", \"many\", \"much\"]",
                                "variants = [\"fat\"]")),
              HasSubstr("unknown variant \"fat\""));
  EXPECT_THAT(error_of(replaced(varied, "beside = \"tcp\"", "beside = \"udp\"")),
              HasSubstr("unknown iperf3 workload above \"udp\""));
  EXPECT_THAT(error_of(replaced(varied, "interval = \"2ms\"", "interval = \"2us\"")),
              HasSubstr("no pace"));
  EXPECT_THAT(error_of(replaced(varied, "10.64.0.0/20", "10.64.0.0/24")),
              HasSubstr("10.64.0.0/24 has no 1000 addresses"));
  EXPECT_THAT(error_of(replaced(varied, "endpoint = \"10.0.0.2\"\n", "")), HasSubstr("endpoint"));
}

TEST(Scenario, ReadsStreamsNetworksAmongProgramsAndWhereToCount) {
  const auto text = "count-at = \"a:eth0\"\n" + small + R"(
[workload.video]
tool = "stream"
client = "a"
server = "b"
address = "10.0.0.2"
pace = "60mbit"
directions = ["reverse"]

[network.tunnel]
host = "a"
text = "address = [\"{address}\"]\nkey = \"{key}\"\noffload = { tso = true }"

[program.key]
host = "a"
ends = true
output = "key"
command = "echo secret"

[group.all]
programs = ["key", "tunnel"]

[[row]]
name = "tunnelled"
programs = ["all"]
variables = { address = "10.0.0.1/24" }
)";
  const auto scenario = parse_scenario(text, "small.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_TRUE(scenario->counted);
  EXPECT_EQ(scenario->counted->host, "a");
  EXPECT_EQ(scenario->counted->device, "eth0");
  const auto& video = named(scenario->workloads, "video");
  EXPECT_EQ(video.stream_bits_per_s, 60'000'000);
  EXPECT_EQ(video.iperf3.directions, std::vector{Direction::reverse});
  const auto& row = *scenario->find_row("tunnelled");
  EXPECT_EQ(row.programs, (std::vector<std::string>{"key", "tunnel"}));
  EXPECT_EQ(missing_part(*scenario, row, {}), std::nullopt);
  EXPECT_EQ(expand_text(scenario->networks[0].text, row, {{"key", "secret"}}),
            "address = [\"10.0.0.1/24\"]\nkey = \"secret\"\noffload = { tso = true }");
  EXPECT_THAT(error_of("count-at = \"c:eth0\"\n" + small), HasSubstr("unknown host \"c\""));
  EXPECT_THAT(error_of("count-at = \"eth0\"\n" + small), HasSubstr("is not HOST:DEVICE"));
  EXPECT_THAT(error_of(replaced(text, "pace", "paces")), HasSubstr("needs the key \"pace\""));
  EXPECT_THAT(error_of(replaced(text, "[program.key]", "[program.tunnel]")),
              HasSubstr("there is already a network \"tunnel\""));
}

TEST(Scenario, SkipsCongestionControlsThatTheKernelLacks) {
  Workload workload;
  EXPECT_EQ(missing_congestion(workload), std::nullopt);
  workload.iperf3.congestion = "none-such";
  EXPECT_THAT(missing_congestion(workload).value_or(""), HasSubstr("none-such"));
}

}  // namespace
}  // namespace warren::bench
