#include "bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "bench/table.h"
#include "bench/view.h"

namespace warren::bench {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

Measurement measurement(double gbps, std::int64_t retransmits) {
  Measurement m;
  m.traffic.emplace();
  m.traffic->gbps = gbps;
  m.traffic->retransmits = retransmits;
  m.traffic->congestion = "cubic";
  m.usage.cpu_avg = 50;
  m.usage.cpu_max = 60 + gbps;
  m.raw = R"({"title": "</script><b>"})";
  return m;
}

Session session() {
  ScenarioResult result;
  result.scenario.name = "tun";
  result.scenario.title = "Title";
  Workload workload;
  workload.name = "tcp";
  result.scenario.workloads.push_back(workload);
  for (const auto& [name, gbps] : {std::pair{"loopback", 40.0}, {"up", 30.0}}) {
    RowResult row;
    row.row = name;
    row.workload = "tcp";
    for (const double noise : {1.0, -1.0, 0.0}) row.runs.push_back(measurement(gbps + noise, 2));
    result.rows.push_back(row);
  }
  RowResult peer;
  peer.row = "peer";
  peer.workload = "tcp";
  peer.skipped = "not installed: no program peer";
  result.rows.push_back(peer);
  RowResult broken;
  broken.row = "broken";
  broken.workload = "tcp";
  broken.failed = "broken exited with status 3:\nlast words";
  result.rows.push_back(broken);
  Session all;
  all.scenarios.push_back(std::move(result));
  return all;
}

TEST(Results, HaveTheFieldsThatScriptsRead) {
  const auto root = json::parse(to_json(session()));
  const auto& up = root["results"][1];
  EXPECT_EQ(up["scenario"], "tun");
  EXPECT_EQ(up["row"], "up");
  EXPECT_EQ(up["direction"], "forward");
  EXPECT_EQ(up["gbps"]["median"], 30.0);
  EXPECT_EQ(up["gbps"]["min"], 29.0);
  EXPECT_EQ(up["gbps"]["max"], 31.0);
  EXPECT_EQ(up["gbps"]["runs"], (json{31.0, 29.0, 30.0}));
  EXPECT_EQ(up["retransmits"]["median"], 2.0);
  EXPECT_EQ(up["cpu_percent"]["avg"], 50.0);
  EXPECT_EQ(up["cpu_percent"]["max"], 91.0);
  EXPECT_EQ(up["ratio_to_loopback"], 0.75);
  EXPECT_TRUE(up["skipped"].is_null());
  EXPECT_TRUE(up["rss_mib"]["avg"].is_null());
  EXPECT_EQ(root["results"][2]["skipped"], "not installed: no program peer");
  EXPECT_TRUE(root["results"][2]["gbps"]["median"].is_null());
  EXPECT_TRUE(root.contains("machine"));
}

TEST(Results, CompareWithTheRowThatIsNamed) {
  auto named = session();
  named.scenarios[0].scenario.relative_to = "up";
  const auto root = json::parse(to_json(named));
  EXPECT_NEAR(root["results"][0]["ratio"].get<double>(), 4.0 / 3, 1e-9);
}

// Two rows with two rounds of round trips, the second compared with the first.
ScenarioResult round_trips() {
  ScenarioResult result;
  Workload workload;
  workload.name = "round-trip";
  workload.tool = Workload::Tool::round_trip;
  workload.iperf3.length = 64;
  result.scenario.workloads.push_back(workload);
  for (const auto& [name, us] : {std::pair{"udp", 5.0}, {"udp/icmp", 6.5}}) {
    Row row;
    row.name = name;
    if (row.name != "udp") row.relative_to = "udp";
    result.scenario.rows.push_back(row);
    RowResult measured;
    measured.row = name;
    measured.workload = "round-trip";
    // The machine is slower in the second round, for both.
    for (const double slower : {0.0, 2.0}) {
      Measurement m;
      m.round_trip = RoundTripResult{us + slower, 2 * us, 1000, 0};
      m.raw = "{}";
      measured.runs.push_back(m);
    }
    result.rows.push_back(measured);
  }
  return result;
}

TEST(Results, CompareEachRowWithItsOwn) {
  auto all = session();
  Row up;
  up.name = "up";
  up.relative_to = "loopback";
  all.scenarios[0].scenario.rows.push_back(up);
  const auto root = json::parse(to_json(all));
  EXPECT_TRUE(root["results"][0]["relative_to"].is_null());
  EXPECT_EQ(root["results"][1]["relative_to"], "loopback");
  EXPECT_NEAR(root["results"][1]["ratio"].get<double>(), 0.75, 1e-9);
}

TEST(Results, CompareRunsOfTheSameRound) {
  Session all;
  all.scenarios.push_back(round_trips());
  const auto root = json::parse(to_json(all));
  const auto& carried = root["results"][1];
  EXPECT_EQ(carried["round_trip_us"]["median"]["runs"], (json{6.5, 8.5}));
  EXPECT_EQ(carried["round_trip_us"]["p99"]["median"], 13.0);
  EXPECT_NEAR(carried["added_us"].get<double>(), 1.5, 1e-9);
  EXPECT_NEAR(carried["ratio"].get<double>(), (6.5 / 5 + 8.5 / 7) / 2, 1e-9);
  EXPECT_TRUE(carried["gbps"]["median"].is_null());
  EXPECT_EQ(carried["relative_to"], "udp");
}

TEST(Table, ShowsRoundTrips) {
  const auto result = round_trips();
  const auto text = render_table(result, summarize_rows(result), {});
  EXPECT_THAT(text, HasSubstr("round trips of UDP datagrams of 64 bytes"));
  EXPECT_THAT(text, HasSubstr("added µs"));
  EXPECT_THAT(text, HasSubstr("7.50"));
  EXPECT_THAT(text, HasSubstr("1.50"));
}

// Two rows and a variant with many peers, and of each a run of the workload.
ScenarioResult peers_and(const Workload& workload, const Measurement& few,
                         const Measurement& many) {
  ScenarioResult result;
  result.scenario.workloads.push_back(workload);
  for (const auto& [name, m] : {std::pair{"wg", few}, {"wg+1001peers", many}}) {
    Row row;
    row.name = name;
    if (row.name != "wg") {
      row.plain = "wg";
      row.variant = "1001peers";
      row.relative_to = "wg";
      row.peers = 1001;
    }
    result.scenario.rows.push_back(row);
    RowResult measured;
    measured.row = name;
    measured.workload = workload.name;
    measured.runs.push_back(m);
    result.rows.push_back(measured);
  }
  return result;
}

TEST(Results, TellProcessorTimePerRateAndMemoryPerPeer) {
  Workload workload;
  workload.name = "tcp";
  auto few = measurement(2, 0);
  few.usage.system_cores = 1.5;
  few.usage.rss_max_mib = 12;
  few.usage.rss_largest_mib = 10;
  auto many = few;
  many.usage.rss_largest_mib = 11;
  Session all;
  all.scenarios.push_back(peers_and(workload, few, many));
  const auto root = json::parse(to_json(all));
  EXPECT_EQ(root["results"][0]["cpu_per_gbps"]["median"], 75.0);
  EXPECT_TRUE(root["results"][0]["rss_kib_per_peer"].is_null());
  EXPECT_EQ(root["results"][1]["peers"], 1001);
  EXPECT_NEAR(root["results"][1]["rss_kib_per_peer"].get<double>(), 1.024, 1e-9);
  const auto text = render_table(all.scenarios[0], summarize_rows(all.scenarios[0]), {});
  EXPECT_THAT(text, HasSubstr("% / Gbit/s"));
  EXPECT_THAT(text, HasSubstr("KiB/peer"));
  EXPECT_THAT(text, HasSubstr("one MiB"));
  EXPECT_THAT(text, HasSubstr("1.02"));
}

TEST(Results, TellHandshakesPerCore) {
  Workload workload;
  workload.name = "handshakes";
  workload.tool = Workload::Tool::handshakes;
  Measurement few;
  few.handshakes = HandshakeResult{6000, 5000, 6000, 0, 0};
  few.raw = to_json(*few.handshakes);
  Measurement many = few;
  many.handshakes->per_s = 3000;
  Session all;
  all.scenarios.push_back(peers_and(workload, few, many));
  const auto root = json::parse(to_json(all));
  EXPECT_EQ(root["results"][0]["handshakes_per_s"]["median"], 6000.0);
  EXPECT_EQ(root["results"][0]["handshakes_per_core_s"]["median"], 5000.0);
  EXPECT_EQ(root["results"][0]["raw"][0]["answered"], 6000);
  EXPECT_TRUE(root["results"][0]["gbps"]["median"].is_null());
  EXPECT_NEAR(root["results"][1]["ratio"].get<double>(), 0.5, 1e-9);
  const auto text = render_table(all.scenarios[0], summarize_rows(all.scenarios[0]), {});
  EXPECT_THAT(text, HasSubstr("per core"));
  EXPECT_THAT(text, HasSubstr("5000"));
}

TEST(Table, ShowsTheRateBesideRoundTripsAndWhyRowsAreSkipped) {
  auto result = round_trips();
  auto& workload = result.scenario.workloads[0];
  workload.tool = Workload::Tool::ping;
  workload.beside = "tcp";
  for (auto& row : result.rows)
    for (auto& run : row.runs) run.traffic = measurement(4.25, 0).traffic;
  RowResult kernel;
  kernel.row = "kernel";
  kernel.workload = workload.name;
  kernel.skipped = "this kernel has no devices of type wireguard";
  result.rows.push_back(kernel);
  const auto text = render_table(result, summarize_rows(result), {});
  EXPECT_THAT(text, HasSubstr("echo requests of 64 bytes, one every 1ms, beside tcp"));
  EXPECT_THAT(text, HasSubstr("4.25"));
  EXPECT_THAT(text, HasSubstr("Skipped, this kernel has no devices of type wireguard: kernel\n"));
}

TEST(View, ShowsLossAgainstItsBase) {
  auto all = session();
  View view{"seed", "Side by side", "tcp", "loopback", {"loopback", "up", "peer", "broken"}};
  const auto text = render_view(view, summarize_rows(all.scenarios[0]));
  EXPECT_THAT(text, HasSubstr("| loopback | send      | 40            | 0 % (base)"));
  EXPECT_THAT(text, HasSubstr("| up       | send      | 30            | -25.0 %"));
  EXPECT_THAT(text, HasSubstr("| peer     | send      | not installed |"));
  EXPECT_THAT(text, HasSubstr("| broken   | send      | failed        |"));
}

TEST(Table, AlignsFiguresAndSaysWhyThereAreNone) {
  const auto all = session();
  const auto& scenario = all.scenarios[0];
  const auto text = render_table(scenario, summarize_rows(scenario), {});
  EXPECT_THAT(text, HasSubstr("Not installed (--peer NAME=COMMAND says where): peer\n"));
  EXPECT_THAT(text, HasSubstr("FAILED: broken exited with status 3: last words"));
  EXPECT_THAT(text, HasSubstr("0.750"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(render_table(scenario, summarize_rows(scenario), {true}), HasSubstr("\033[31m"));
}

TEST(Report, IsOneFileThatNothingCanBreakOutOf) {
  const auto html = render_report(session());
  EXPECT_THAT(html, HasSubstr("Chart.js v3"));
  EXPECT_THAT(html, Not(HasSubstr("/*DATA*/")));
  EXPECT_THAT(html, Not(HasSubstr("</script><b>")));
  EXPECT_THAT(html, Not(HasSubstr("src=\"http")));
  EXPECT_TRUE(html.ends_with("</html>\n"));
}

}  // namespace
}  // namespace warren::bench
