#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

#include <warren/batch.h>
#include <warren/packet.h>
#include <warren/ring.h>

namespace warren {
namespace {

std::unique_ptr<Pool> make_pool(std::size_t count, std::size_t size = 2000) {
  return std::move(*Pool::create(count, size));
}

TEST(Packet, GrowsIntoHeadroomAndTailroom) {
  auto pool = make_pool(1);
  Packet packet = pool->allocate();
  EXPECT_EQ(packet.size(), 0U);
  EXPECT_GE(packet.headroom(), Pool::default_headroom);
  EXPECT_GE(packet.tailroom(), 2000U);
  packet.resize(100);
  std::memset(packet.data(), 7, 100);
  std::memset(packet.prepend(20), 1, 20);
  EXPECT_EQ(packet.size(), 120U);
  packet.trim_front(20);
  EXPECT_EQ(std::to_integer<int>(packet.data()[0]), 7);
  EXPECT_EQ(packet.size(), 100U);
}

TEST(Pool, HandsOutEveryBufferOnceAndThenNone) {
  auto pool = make_pool(5);
  std::vector<Packet> packets;
  std::set<std::byte*> seen;
  for (int i = 0; i < 5; ++i) {
    packets.push_back(pool->allocate());
    ASSERT_TRUE(packets.back());
    seen.insert(packets.back().data());
  }
  EXPECT_EQ(seen.size(), 5U);
  EXPECT_FALSE(pool->allocate());
  packets.pop_back();
  EXPECT_TRUE(pool->allocate());
}

TEST(Pool, ClearsWhatTheLastUserLeft) {
  auto pool = make_pool(1);
  {
    Packet packet = pool->allocate();
    packet.resize(50);
    packet.prepend(10);
    packet.offload().gso_size = 1448;
  }
  Packet packet = pool->allocate();
  EXPECT_EQ(packet.size(), 0U);
  EXPECT_EQ(packet.offload(), OffloadHeader{});
  EXPECT_GE(packet.headroom(), Pool::default_headroom);
}

TEST(Batch, FreesWhatIsLeftAndCountsDrops) {
  auto pool = make_pool(Batch::capacity);
  Counters counters;
  {
    Batch batch;
    while (!batch.full()) batch.push(pool->allocate());
    EXPECT_FALSE(pool->allocate());
    Packet kept = batch.take(3);
    EXPECT_TRUE(kept);
    batch.drop(counters, DropReason::no_link);
    EXPECT_TRUE(batch.empty());
  }
  EXPECT_EQ(counters.dropped(DropReason::no_link), Batch::capacity);
  Batch again;
  while (!again.full()) {
    Packet packet = pool->allocate();
    ASSERT_TRUE(packet);
    again.push(std::move(packet));
  }
}

TEST(Batch, MovesItsPackets) {
  auto small = make_pool(2);
  auto other = make_pool(2);
  Batch batch;
  batch.push(small->allocate());
  batch.push(other->allocate());
  batch.push(small->allocate());
  Batch moved = std::move(batch);
  EXPECT_EQ(moved.size(), 3U);
  moved.clear();
  EXPECT_TRUE(small->allocate());
  EXPECT_TRUE(other->allocate());
}

// One thread fills packets, the other frees them: the pool never hands out a buffer that is in use.
TEST(Pool, TakesPacketsBackFromAnotherThread) {
  auto pool = make_pool(32);
  Ring<Packet> ring(16);
  constexpr std::uint32_t total = 50000;
  std::thread reader([&] {
    Packet packet;
    for (std::uint32_t expected = 0; expected < total;) {
      if (!ring.pop(packet)) {
        std::this_thread::yield();
        continue;
      }
      std::uint32_t value;
      std::memcpy(&value, packet.data(), sizeof value);
      ASSERT_EQ(value, expected);
      ++expected;
      packet = Packet{};
    }
  });
  for (std::uint32_t i = 0; i < total;) {
    Packet packet = pool->allocate();
    if (!packet) {
      std::this_thread::yield();
      continue;
    }
    packet.resize(sizeof i);
    std::memcpy(packet.data(), &i, sizeof i);
    // NOLINTNEXTLINE(bugprone-use-after-move): a full ring moves nothing
    while (!ring.push(std::move(packet))) std::this_thread::yield();
    ++i;
  }
  reader.join();
}

}  // namespace
}  // namespace warren
