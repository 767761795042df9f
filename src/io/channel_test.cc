#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include <warren/channel.h>

namespace warren {
namespace {

TEST(Channel, PassesEverythingInOrderThroughATightQueue) {
  Channel<int> channel(2);
  constexpr int total = 100000;
  std::thread writer([&] {
    for (int i = 0; i < total; ++i) EXPECT_TRUE(channel.push(int{i}, i % 3 != 0));
    channel.close();
  });
  int value = -1;
  int expected = 0;
  for (; channel.pop(value); ++expected) ASSERT_EQ(value, expected);
  EXPECT_EQ(expected, total);
  writer.join();
}

TEST(Channel, CloseWakesAReaderThatWaits) {
  Channel<int> channel(4);
  std::thread reader([&] {
    int value;
    EXPECT_FALSE(channel.pop(value));
  });
  channel.close();
  reader.join();
}

TEST(Channel, CloseWakesAWriterThatWaits) {
  Channel<std::unique_ptr<int>> channel(2);
  std::thread writer([&] {
    while (channel.push(std::make_unique<int>(1))) {
    }
  });
  channel.close();
  writer.join();
}

TEST(Channel, WhatIsInsideWhenItClosesCanBeTakenOut) {
  Channel<int> channel(4);
  ASSERT_TRUE(channel.push(1));
  ASSERT_TRUE(channel.push(2));
  channel.close();
  EXPECT_FALSE(channel.push(3));
  int value = 0;
  EXPECT_TRUE(channel.pop(value));
  EXPECT_EQ(value, 1);
  EXPECT_TRUE(channel.pop(value));
  EXPECT_FALSE(channel.pop(value));
}

}  // namespace
}  // namespace warren
