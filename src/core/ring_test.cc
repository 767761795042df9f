#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include <warren/ring.h>

namespace warren {
namespace {

TEST(Ring, IsBoundedAndKeepsOrder) {
  Ring<int> ring(4);
  EXPECT_EQ(ring.capacity(), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.push(int{i}));
  EXPECT_FALSE(ring.push(4));
  int value = -1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(ring.pop(value));
    EXPECT_EQ(value, i);
  }
  EXPECT_FALSE(ring.pop(value));
  EXPECT_TRUE(ring.empty());
}

TEST(Ring, LeavesTheItemWithTheCallerWhenFull) {
  Ring<std::unique_ptr<int>> ring(2);
  ASSERT_TRUE(ring.push(std::make_unique<int>(1)));
  ASSERT_TRUE(ring.push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(ring.push(std::move(third)));
  ASSERT_NE(third, nullptr);
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move): a full ring moves nothing
  EXPECT_EQ(*third, 3);
}

TEST(Ring, PassesEverythingBetweenTwoThreads) {
  Ring<int> ring(64);
  constexpr int total = 200000;
  std::thread writer([&] {
    for (int i = 0; i < total; ++i)
      // NOLINTNEXTLINE(readability-redundant-casting): push() takes what is nobody else's
      while (!ring.push(int{i})) std::this_thread::yield();
  });
  for (int expected = 0; expected < total;) {
    int value;
    if (ring.pop(value)) {
      ASSERT_EQ(value, expected);
      ++expected;
    } else {
      std::this_thread::yield();
    }
  }
  writer.join();
}

}  // namespace
}  // namespace warren
