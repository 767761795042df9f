#include "bench/statistics.h"

#include <gtest/gtest.h>

namespace warren::bench {
namespace {

TEST(Statistics, TakesTheMiddleOfAnOddNumber) {
  const auto summary = summarize({3, 100, 1});
  EXPECT_DOUBLE_EQ(summary.median, 3);
  EXPECT_DOUBLE_EQ(summary.min, 1);
  EXPECT_DOUBLE_EQ(summary.max, 100);
}

TEST(Statistics, TakesTheMeanOfTheTwoInTheMiddle) {
  EXPECT_DOUBLE_EQ(summarize({4, 1, 2, 50}).median, 3);
}

TEST(Statistics, KeepsTheOrderOfTheRuns) {
  EXPECT_EQ(summarize({3, 1, 2}).runs, (std::vector<double>{3, 1, 2}));
}

TEST(Statistics, SaysZeroOfNothing) {
  const auto summary = summarize({});
  EXPECT_DOUBLE_EQ(summary.median, 0);
  EXPECT_TRUE(summary.runs.empty());
}

}  // namespace
}  // namespace warren::bench
