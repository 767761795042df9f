#include "bench/ping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/missing.h"
#include "bench/process.h"

namespace warren::bench {
namespace {

using namespace std::chrono_literals;

class PingTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Host::create("client");
    if (!made && made.error().code == EPERM) GTEST_SKIP() << made.error().message;
    ASSERT_TRUE(made) << made.error().message;
    client_ = std::move(*made);
  }
  std::unique_ptr<Host> client_;
};

TEST_F(PingTest, TimesEchoRequestsOfBothFamilies) {
  for (const auto* address : {"127.0.0.1", "::1"}) {
    auto ping = Ping::open(*client_, address, 64, PingPace{1ms});
    ASSERT_TRUE(ping) << ping.error().message;
    ASSERT_TRUE(ping->run(100ms));
    ASSERT_TRUE(ping->finish());
    const auto result = ping->result();
    EXPECT_GT(result.answered, 0);
    EXPECT_LE(result.answered, 101);
    EXPECT_EQ(result.lost, 0);
    EXPECT_GT(result.median_us, 0);
    EXPECT_GE(result.p99_us, result.median_us);
  }
}

TEST_F(PingTest, CountsWhatIsNotAnswered) {
  auto ping = Ping::open(*client_, "127.0.0.1", 64, PingPace{1ms});
  ASSERT_TRUE(ping) << ping.error().message;
  const auto silenced = run_to_end(
      {{"sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all"}, {}}, client_.get());
  ASSERT_TRUE(silenced) << silenced.error().message;
  ASSERT_TRUE(ping->run(20ms));
  const auto result = ping->result();
  EXPECT_EQ(result.answered, 0);
  EXPECT_GT(result.lost, 0);
}

TEST_F(PingTest, NamesAKindOfDeviceThatTheKernelLacks) {
  Scenario scenario;
  Row row;
  row.kernel_link = "veth";
  EXPECT_EQ(missing_part(scenario, row, {}), std::nullopt);
  row.kernel_link = "nosuchdevice";
  EXPECT_THAT(missing_part(scenario, row, {}).value_or(""),
              testing::HasSubstr("no devices of type nosuchdevice"));
}

}  // namespace
}  // namespace warren::bench
