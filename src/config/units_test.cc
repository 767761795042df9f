#include "config/units.h"

#include <gtest/gtest.h>

#include "config/suggest.h"

namespace warren::config {
namespace {

using namespace std::chrono_literals;

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration("10ms").value(), 10ms);
  EXPECT_EQ(parse_duration("1.5 s").value(), 1500ms);
  EXPECT_EQ(parse_duration("2min").value(), 120s);
  for (const auto* bad : {"", "ms", "10", "10 m", "-1s", "1e30s", "nans", "infs", "10ms "})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(format_duration(1500us), "1.5ms");
  EXPECT_EQ(format_duration(61s), "1min 1s");
  EXPECT_EQ(format_duration(50h), "2d 2h");
}

TEST(Units, Rates) {
  EXPECT_EQ(parse_rate("500mbit").value(), 500'000'000U);
  EXPECT_EQ(parse_rate("2.5Gbit").value(), 2'500'000'000U);
  for (const auto* bad : {"0bit", "500", "mbit", "1e9tbit", "5mb"})
    EXPECT_FALSE(parse_rate(bad)) << bad;
}

TEST(Units, Percentages) {
  EXPECT_DOUBLE_EQ(parse_percent("0.1%").value(), 0.001);
  EXPECT_DOUBLE_EQ(parse_percent("100%").value(), 1.0);
  for (const auto* bad : {"101%", "-1%", "5", "%"}) EXPECT_FALSE(parse_percent(bad)) << bad;
}

TEST(Suggest, EditDistance) {
  EXPECT_EQ(edit_distance("address", "address"), 0U);
  EXPECT_EQ(edit_distance("adress", "address"), 1U);
  EXPECT_EQ(edit_distance("mut", "mtu"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Suggest, OnlyWhatIsNear) {
  EXPECT_EQ(suggest("tun1", {"tun11", "tun22"}), "; did you mean \"tun11\"?");
  EXPECT_EQ(suggest("mut", {"mtu", "mac"}), "; did you mean \"mtu\"?");
  EXPECT_EQ(suggest("x", {"address"}), "");
}

}  // namespace
}  // namespace warren::config
