#include "bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "bench/table.h"

namespace warren::bench {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

Measurement measurement(double gbps, std::int64_t retransmits) {
  Measurement m;
  m.traffic.gbps = gbps;
  m.traffic.retransmits = retransmits;
  m.traffic.congestion = "cubic";
  m.usage.cpu_avg = 50;
  m.usage.cpu_max = 60 + gbps;
  m.raw = R"({"title": "</script><b>"})";
  return m;
}

Session session() {
  ScenarioResult result;
  result.scenario.name = "tun";
  result.scenario.title = "Title";
  result.scenario.workloads.push_back({"tcp", "left", "right", "10.0.2.1", {}});
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
  named.relative_to = "up";
  const auto root = json::parse(to_json(named));
  EXPECT_NEAR(root["results"][0]["ratio"].get<double>(), 4.0 / 3, 1e-9);
}

TEST(Table, AlignsFiguresAndSaysWhyThereAreNone) {
  const auto all = session();
  const auto& scenario = all.scenarios[0];
  const auto text = render_table(scenario, summarize_rows(scenario, ""), "", {});
  EXPECT_THAT(text, HasSubstr("Not installed (--peer NAME=COMMAND says where): peer\n"));
  EXPECT_THAT(text, HasSubstr("FAILED: broken exited with status 3: last words"));
  EXPECT_THAT(text, HasSubstr("0.750"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(render_table(scenario, summarize_rows(scenario, ""), "", {true}),
              HasSubstr("\033[31m"));
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
