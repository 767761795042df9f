#include "bench/iperf3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::bench {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// What iperf3 3.12 printed, without what is not read.
constexpr auto tcp = R"({"start": {"version": "iperf 3.12"}, "end": {
  "sum_sent": {"seconds": 2.0, "bytes": 7000000000, "bits_per_second": 28000000000.5, "retransmits": 7},
  "sum_received": {"seconds": 2.0, "bytes": 6875000000, "bits_per_second": 27500000000.0},
  "sender_tcp_congestion": "cubic", "receiver_tcp_congestion": "cubic"}})";
constexpr auto udp = R"({"start": {"test_start": {"blksize": 1400}}, "end": {
  "sum": {"bits_per_second": 199937496.5, "jitter_ms": 0.0073, "lost_packets": 408, "packets": 800, "lost_percent": 51.0},
  "sum_sent": {"bits_per_second": 199937496.5, "jitter_ms": 0, "lost_packets": 0, "packets": 800},
  "sum_received": {"bits_per_second": 197938121.0, "jitter_ms": 0.0073}}})";

TEST(Iperf3, CountsWhatTheReceiverGot) {
  const auto result = parse_iperf3(tcp);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_DOUBLE_EQ(result->gbps, 27.5);
  EXPECT_EQ(result->retransmits, 7);
  EXPECT_EQ(result->congestion, "cubic");
  EXPECT_FALSE(result->lost_percent);
}

TEST(Iperf3, ReadsLossAndJitterOfUdp) {
  const auto result = parse_iperf3(udp);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_NEAR(result->gbps, 0.197938, 1e-6);
  EXPECT_FALSE(result->retransmits);
  EXPECT_NEAR(*result->lost_percent, 1.0, 1e-6) << "of what was sent after the warm-up";
  EXPECT_EQ(result->jitter_ms, 0.0073);
  EXPECT_NEAR(*result->packets_per_s, 197938121.0 / 8 / 1400, 1e-3);
}

TEST(Iperf3, PassesOnWhatIperf3CallsAnError) {
  const auto result =
      parse_iperf3(R"({"start": {}, "end": {}, "error": "unable to connect to server"})");
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("unable to connect to server"));
}

TEST(Iperf3, RefusesWhatItDoesNotUnderstand) {
  for (const auto* text :
       {"", "[]", "{", "iperf3: error", "{}", R"({"end": {}})", R"({"end": 3})",
        R"({"end": {"sum_sent": {}, "sum_received": {"bits_per_second": "fast"}}})"})
    EXPECT_FALSE(parse_iperf3(text)) << text;
}

TEST(Iperf3, WritesCommandLines) {
  Iperf3 workload;
  EXPECT_THAT(iperf3_client(workload, "10.0.2.1", Direction::forward, {2, 0}),
              ElementsAre("iperf3", "--client", "10.0.2.1", "--port", "5201", "--json",
                          "--connect-timeout", "5000", "--time", "2", "--congestion", "cubic"));
  workload.udp = true;
  workload.rate = "500M";
  workload.streams = 4;
  workload.length = 1400;
  const auto words = iperf3_client(workload, "10.0.2.1", Direction::reverse, {5, 1});
  for (const auto* word : {"--udp", "500M", "--reverse", "4", "1400", "--omit"})
    EXPECT_THAT(words, Contains(word));
  EXPECT_THAT(words, Not(Contains("--congestion")));
}

}  // namespace
}  // namespace warren::bench
