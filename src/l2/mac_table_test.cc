#include "l2/mac_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace warren::l2 {
namespace {

using namespace std::chrono_literals;
using Learnt = MacTable::Learnt;

constexpr std::uint64_t alice = 0x020000000001;
constexpr std::uint64_t bob = 0x020000000002;
constexpr MacTable::Time start{1000h};

TEST(MacNumberTest, IsTheAddressAsItIsWritten) {
  const auto mac = MacAddress::parse("02:a3:04:05:06:ff").value();
  EXPECT_EQ(mac_number(mac), 0x02a3040506ffU);
  EXPECT_EQ(to_mac_address(mac_number(mac)), mac);
  EXPECT_FALSE(is_group_mac(mac_number(mac)));
  EXPECT_TRUE(is_group_mac(0xffffffffffff));
  EXPECT_TRUE(is_group_mac(0x01005e000001));
}

TEST(MacTableTest, LearnsAndFollows) {
  MacTable table({}, 1);
  EXPECT_EQ(table.find(alice, start), MacTable::nobody);
  EXPECT_EQ(table.learn(alice, 3, start), Learnt::added);
  EXPECT_EQ(table.learn(alice, 3, start + 1s), Learnt::known);
  EXPECT_EQ(table.find(alice, start), 3);
  EXPECT_EQ(table.learn(alice, 4, start + 2s), Learnt::moved);
  EXPECT_EQ(table.find(alice, start + 2s), 4);
  EXPECT_EQ(table.find(bob, start), MacTable::nobody);
}

TEST(MacTableTest, ForgetsWhoIsSilent) {
  MacTable table({.max_entries = 10, .ageing = 60s}, 1);
  table.learn(alice, 0, start);
  EXPECT_EQ(table.find(alice, start + 59s), 0);
  EXPECT_EQ(table.find(alice, start + 60s), MacTable::nobody);
  EXPECT_EQ(table.learn(alice, 0, start + 59s), Learnt::known);
  EXPECT_EQ(table.find(alice, start + 100s), 0);
  EXPECT_EQ(table.learn(alice, 1, start + 500s), Learnt::added);
  table.set_ageing(1s);
  EXPECT_EQ(table.find(alice, start + 501s), MacTable::nobody);
}

TEST(MacTableTest, StaticEntriesStay) {
  MacTable table({.max_entries = 10, .ageing = 60s}, 1);
  table.learn(alice, 1, start);
  ASSERT_TRUE(table.set_static(alice, 7));
  EXPECT_EQ(table.learn(alice, 1, start), Learnt::known);
  EXPECT_EQ(table.find(alice, start + 1000h), 7);
  table.erase(alice);
  EXPECT_EQ(table.find(alice, start), MacTable::nobody);
  EXPECT_EQ(table.learn(alice, 1, start), Learnt::added);
  table.erase(bob);
}

TEST(MacTableTest, OwnersLeaveWithAllTheirAddresses) {
  MacTable table({}, 1);
  for (std::uint64_t i = 1; i <= 100; ++i)
    table.learn(i, static_cast<MacTable::Owner>(i % 2), start);
  ASSERT_TRUE(table.set_static(alice, 1));
  EXPECT_EQ(table.count_by_owner(2, start), (std::vector<std::size_t>{50, 51}));
  table.erase_owner(1);
  EXPECT_EQ(table.count_by_owner(2, start), (std::vector<std::size_t>{50, 0}));
  EXPECT_EQ(table.find(alice, start), MacTable::nobody);
}

TEST(MacTableTest, AFullTableKeepsWhatItHasAndLearnsAgainWhenThatHasAged) {
  constexpr std::size_t entries = 1000;
  MacTable table({.max_entries = entries, .ageing = 60s}, 7);
  std::vector<std::uint64_t> held;
  for (std::uint64_t mac = 1; held.size() < entries; ++mac)
    if (table.learn(mac, 0, start) == Learnt::added) held.push_back(mac);
  for (std::uint64_t mac = 1'000'000; mac < 1'050'000; ++mac)
    ASSERT_EQ(table.learn(mac, 1, start + 1s), Learnt::refused);
  std::size_t found = 0;
  for (const auto mac : held) found += table.find(mac, start + 1s) == 0 ? 1 : 0;
  // Where both buckets of an address are full it takes another's place: rare.
  EXPECT_GE(found, entries - entries / 100);
  // All have aged: learning is possible again after as many attempts as it takes to clean the table.
  std::size_t learnt = 0;
  for (std::uint64_t mac = 2'000'000; mac < 2'000'000 + 2 * entries; ++mac)
    learnt += table.learn(mac, 2, start + 100s) == Learnt::added ? 1 : 0;
  EXPECT_GE(learnt, entries);
}

TEST(MacTableTest, NeverHoldsMoreThanItsLimit) {
  for (const std::size_t limit : {1U, 3U, 16U, 100U}) {
    MacTable table({.max_entries = limit}, limit);
    for (std::uint64_t mac = 1; mac < 2000; ++mac) table.learn(mac, 0, start);
    EXPECT_LE(table.count_by_owner(1, start)[0], limit);
    EXPECT_GE(table.count_by_owner(1, start)[0], 1U);
  }
}

// An obvious table, for random work on few addresses: nothing is ever refused in either.
TEST(MacTableTest, DoesWhatAnObviousTableDoes) {
  struct Obvious {
    MacTable::Owner owner;
    MacTable::Time seen;
    bool fixed;
  };
  std::map<std::uint64_t, Obvious> obvious;
  MacTable table({.max_entries = 4096, .ageing = 100s}, 5);
  std::mt19937_64 random(3);
  auto now = start;
  for (int step = 0; step < 100'000; ++step) {
    now += std::chrono::milliseconds(random() % 500);
    const auto mac = 0x020000000001 + random() % 200 * 0x010000;
    const auto owner = static_cast<MacTable::Owner>(random() % 5);
    const auto known = obvious.find(mac);
    const bool live =
        known != obvious.end() && (known->second.fixed || now - known->second.seen < 100s);
    switch (random() % 64) {
      case 0:
        ASSERT_TRUE(table.set_static(mac, owner));
        obvious[mac] = {owner, now, true};
        break;
      case 1:
        table.erase(mac);
        obvious.erase(mac);
        break;
      case 2:
        if (random() % 50 != 0) break;
        table.erase_owner(owner);
        std::erase_if(obvious, [&](const auto& entry) { return entry.second.owner == owner; });
        break;
      default:
        if (random() % 2 == 0) {
          ASSERT_EQ(table.find(mac, now), live ? known->second.owner : MacTable::nobody);
          break;
        }
        const auto expected = !live                                                 ? Learnt::added
                              : known->second.fixed || known->second.owner == owner ? Learnt::known
                                                                                    : Learnt::moved;
        ASSERT_EQ(table.learn(mac, owner, now), expected);
        if (!live || !known->second.fixed) obvious[mac] = {owner, now, false};
    }
  }
}

}  // namespace
}  // namespace warren::l2
