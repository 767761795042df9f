#include "bench/stream.h"

#include <gtest/gtest.h>

#include "bench/packet_count.h"
#include "bench/process.h"

namespace warren::bench {
namespace {

using namespace std::chrono_literals;

class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Host::create("alone");
    if (!made && made.error().code == EPERM) GTEST_SKIP() << made.error().message;
    ASSERT_TRUE(made) << made.error().message;
    host_ = std::move(*made);
  }
  std::unique_ptr<Host> host_;
};

TEST_F(StreamTest, TimesDatagramsBothWays) {
  for (const auto direction : {Direction::forward, Direction::reverse}) {
    auto stream = Stream::open(*host_, *host_, "127.0.0.1", 1000, 8'000'000, direction);
    ASSERT_TRUE(stream) << stream.error().message;
    ASSERT_TRUE(stream->run(200ms));
    ASSERT_TRUE(stream->finish());
    const auto result = stream->result();
    // 1,000 a second; fewer where this process was kept from sending.
    EXPECT_GT(result.sent, 0);
    EXPECT_LE(result.sent, 250);
    EXPECT_EQ(result.received, result.sent);
    EXPECT_EQ(result.lost_percent, 0);
    EXPECT_GT(result.gbps, 0);
    EXPECT_GT(result.median_us, 0);
    EXPECT_GE(result.p99_us, result.median_us);
    EXPECT_GT(result.jitter_ms, 0);
  }
}

TEST_F(StreamTest, CountsWhatIsLost) {
  auto stream = Stream::open(*host_, *host_, "127.0.0.1", 1000, 8'000'000, Direction::forward);
  ASSERT_TRUE(stream) << stream.error().message;
  const auto dropped = run_to_end({{"nft",
                                    "table inet t { chain c { type filter hook input priority 0; "
                                    "meta l4proto udp drop; }; }"},
                                   {}},
                                  host_.get());
  ASSERT_TRUE(dropped) << dropped.error().message;
  ASSERT_TRUE(stream->run(50ms));
  ASSERT_TRUE(stream->finish());
  EXPECT_EQ(stream->result().received, 0);
  EXPECT_EQ(stream->result().lost_percent, 100);
}

TEST_F(StreamTest, CountsPacketsAndFragments) {
  Hosts hosts;
  hosts["alone"] = std::move(host_);
  const CountedDevice counted{"alone", "lo"};
  const auto before = count_packets(hosts, counted);
  ASSERT_TRUE(before) << before.error().message;
  const auto ping =
      run_to_end({{"sh", "-c", "ip link set lo mtu 1500 && ping -c 1 -s 2000 127.0.0.1"}, {}},
                 hosts["alone"].get());
  ASSERT_TRUE(ping) << ping.error().message;
  const auto after = count_packets(hosts, counted);
  ASSERT_TRUE(after);
  const auto count = after->since(*before);
  // A request and an answer, of two fragments each.
  EXPECT_EQ(count.out, 4);
  EXPECT_EQ(count.back, 4);
  EXPECT_EQ(count.fragments, 4);
  EXPECT_FALSE(count_packets(hosts, {"alone", "eth7"}));
}

}  // namespace
}  // namespace warren::bench
