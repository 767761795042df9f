#include "wireguard/index_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace warren::wireguard {
namespace {

TEST(IndexTable, FindsWhatWasPutIn) {
  std::mt19937 random(1);
  IndexTable<int> table(10);
  const auto a = table.insert(7, random);
  const auto b = table.insert(8, random);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*table.find(*a), 7);
  EXPECT_EQ(*table.find(*b), 8);
  EXPECT_EQ(table.find(*a ^ 0x8000'0000U), nullptr) << "the same slot, another number";
  table.erase(*a);
  table.erase(*a);
  EXPECT_EQ(table.find(*a), nullptr);
  EXPECT_EQ(table.size(), 1U);
}

TEST(IndexTable, NeverGivesANumberTwice) {
  IndexTable<int> table(10);
  std::uint32_t next = 0;
  const auto repeats = [&] { return next++ / 3; };
  std::map<std::uint32_t, int> given;
  for (int i = 0; i < 10; ++i) given[*table.insert(i, repeats)] = i;
  EXPECT_EQ(given.size(), 10U);
  for (const auto& [index, value] : given) EXPECT_EQ(*table.find(index), value);
}

TEST(IndexTable, IsBounded) {
  std::mt19937 random(1);
  IndexTable<int> table(3);
  std::optional<std::uint32_t> last;
  for (int i = 0; i < 3; ++i) last = table.insert(i, random);
  EXPECT_FALSE(table.insert(3, random));
  table.erase(*last);
  EXPECT_TRUE(table.insert(3, random));
}

TEST(IndexTable, AgreesWithAMap) {
  std::mt19937 random(5);
  IndexTable<std::uint64_t> table(5000);
  std::map<std::uint32_t, std::uint64_t> oracle;
  for (std::uint64_t step = 0; step < 40000; ++step) {
    if (random() % 5 < 3) {
      const auto index = table.insert(step, random);
      ASSERT_EQ(index.has_value(), oracle.size() < 5000);
      if (index) {
        ASSERT_TRUE(oracle.emplace(*index, step).second);
      }
    } else if (!oracle.empty()) {
      auto victim = oracle.lower_bound(static_cast<std::uint32_t>(random()));
      if (victim == oracle.end()) victim = oracle.begin();
      table.erase(victim->first);
      oracle.erase(victim);
    }
    ASSERT_EQ(table.size(), oracle.size());
    const auto stranger = static_cast<std::uint32_t>(random());
    ASSERT_EQ(table.find(stranger) != nullptr, oracle.contains(stranger));
  }
  for (const auto& [index, value] : oracle) {
    ASSERT_NE(table.find(index), nullptr);
    ASSERT_EQ(*table.find(index), value);
  }
}

}  // namespace
}  // namespace warren::wireguard
