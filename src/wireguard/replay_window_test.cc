#include "wireguard/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace warren::wireguard {
namespace {

constexpr std::uint64_t size = ReplayWindow::size;

TEST(ReplayWindow, AcceptsEachCounterOnce) {
  ReplayWindow window;
  for (std::uint64_t counter = 0; counter < 3 * size; ++counter) {
    ASSERT_TRUE(window.accept(counter)) << counter;
    ASSERT_FALSE(window.accept(counter)) << counter;
  }
}

TEST(ReplayWindow, ReachesBackSoFarAndNoFurther) {
  for (const std::uint64_t newest : {size - 1, size, size + 1, 5 * size + 17, size * 1000 + 63}) {
    ReplayWindow window;
    ASSERT_TRUE(window.accept(newest));
    EXPECT_TRUE(window.accept(newest - (size - 1))) << newest;
    if (newest < size) continue;
    EXPECT_FALSE(window.accept(newest - size)) << newest;
  }
}

TEST(ReplayWindow, TakesAWholeWindowBackwards) {
  ReplayWindow window;
  for (std::uint64_t i = 0; i < size; ++i) ASSERT_TRUE(window.accept(100000 - i)) << i;
  for (std::uint64_t i = 0; i < size; ++i) ASSERT_FALSE(window.accept(100000 - i)) << i;
  EXPECT_FALSE(window.accept(100000 - size));
  EXPECT_TRUE(window.accept(100001));
}

TEST(ReplayWindow, ForgetsNothingWhenItJumps) {
  ReplayWindow window;
  ASSERT_TRUE(window.accept(5));
  ASSERT_TRUE(window.accept(1ULL << 40));
  EXPECT_FALSE(window.accept(5));
  EXPECT_TRUE(window.accept((1ULL << 40) - 5));
  EXPECT_TRUE(window.accept((1ULL << 40) - (size - 1)));
}

TEST(ReplayWindow, RefusesCountersThatNobodyMayUse) {
  ReplayWindow window;
  EXPECT_FALSE(window.accept(UINT64_MAX));
  EXPECT_FALSE(window.accept(limits::reject_after_messages));
  EXPECT_TRUE(window.accept(limits::reject_after_messages - 1));
  EXPECT_FALSE(window.accept(limits::reject_after_messages - 1));
  EXPECT_TRUE(window.accept(limits::reject_after_messages - size));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, AsksWithoutChanging) {
  ReplayWindow window;
  EXPECT_TRUE(window.may_accept(1000000));
  EXPECT_TRUE(window.accept(0));
  EXPECT_FALSE(window.may_accept(0));
}

// All that was accepted, ever.
TEST(ReplayWindow, AgreesWithASetOfAllCounters) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 8; ++round) {
    ReplayWindow window;
    std::set<std::uint64_t> accepted;
    std::uint64_t newest = 0;
    for (int step = 0; step < 20000; ++step) {
      std::uint64_t counter = newest;
      switch (random() % 8) {
        case 0:
          counter += random() % (2 * size);
          break;
        case 1:
          counter += random() % 130;
          break;
        case 2:
          counter += 64 * (random() % 300);
          break;
        default:
          counter -= std::min(counter, random() % (size + 200));
      }
      const bool too_old = !accepted.empty() && counter + size <= newest;
      const bool expected = !too_old && !accepted.contains(counter);
      ASSERT_EQ(window.may_accept(counter), expected) << counter << " newest " << newest;
      ASSERT_EQ(window.accept(counter), expected) << counter << " newest " << newest;
      if (!expected) continue;
      accepted.insert(counter);
      newest = std::max(newest, counter);
    }
  }
}

}  // namespace
}  // namespace warren::wireguard
