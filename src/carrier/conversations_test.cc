#include "carrier/conversations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace warren::carrier {
namespace {

using namespace std::chrono_literals;

struct Number {
  std::uint32_t value = 0;
  template <class Mix>
  void hash_into(Mix&& mix) const noexcept {
    mix(value);
  }
  friend bool operator==(const Number&, const Number&) = default;
};
using Table = Conversations<Number, std::uint32_t>;

const auto ignore = [](Table::Entry&) {};

TEST(Conversations, FullTableGivesUpTheOldestThatNobodyAnswered) {
  Table table(3);
  const Table::Time start{};
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_NE(table.insert({i}, start, ignore), nullptr);
  table.touch(*table.find({1}), start, true);
  std::uint32_t evicted = 0;
  ASSERT_NE(table.insert({4}, start, [&](Table::Entry& entry) { evicted = entry.key.value; }),
            nullptr);
  EXPECT_EQ(evicted, 2U);
  EXPECT_EQ(table.find({2}), nullptr);
  for (const std::uint32_t i : {3U, 4U}) table.touch(*table.find({i}), start, true);
  EXPECT_EQ(table.insert({5}, start, ignore), nullptr) << "all are answered";
  EXPECT_EQ(table.size(), 3U);
  table.erase(*table.find({3}));
  EXPECT_NE(table.insert({5}, start, ignore), nullptr);
}

// Against the most obvious model, with few keys so that everything happens often.
TEST(Conversations, RandomCoursesAgreeWithAModel) {
  struct Known {
    std::uint32_t value;
    Table::Time last;
    bool answered;
  };
  std::mt19937 random(1);
  constexpr std::size_t capacity = 20;
  Table table(capacity);
  std::map<std::uint32_t, Known> model;
  Table::Time now{};
  for (std::uint32_t step = 0; step < 50000; ++step) {
    now += std::chrono::seconds(random() % 3);
    const Number key{static_cast<std::uint32_t>(random() % 40)};
    auto* entry = table.find(key);
    ASSERT_EQ(entry != nullptr, model.contains(key.value));
    if (entry == nullptr) {
      const auto waiting = std::ranges::count_if(model, [](auto& e) { return !e.second.answered; });
      entry = table.insert(key, now, [&](Table::Entry& old) {
        const auto found = model.find(old.key.value);
        ASSERT_NE(found, model.end());
        EXPECT_FALSE(found->second.answered);
        for (const auto& [other, known] : model)
          EXPECT_TRUE(known.answered || known.last >= found->second.last) << other;
        model.erase(found);
      });
      ASSERT_EQ(entry == nullptr, model.size() == capacity && waiting == 0);
      if (entry == nullptr) continue;
      entry->value = step;
      model[key.value] = {step, now, false};
    } else if (random() % 8 == 0) {
      table.erase(*entry);
      model.erase(key.value);
    } else {
      const bool answer = random() % 4 == 0;
      EXPECT_EQ(entry->value, model[key.value].value);
      table.touch(*entry, now, answer);
      model[key.value].last = now;
      model[key.value].answered |= answer;
    }
    if (random() % 64 == 0) {
      const auto before = now - 20s;
      table.expire(before, [&](Table::Entry& old) {
        EXPECT_LT(model[old.key.value].last, before);
        model.erase(old.key.value);
      });
      for (const auto& [other, known] : model) EXPECT_GE(known.last, before) << other;
    }
    ASSERT_EQ(table.size(), model.size());
  }
}

}  // namespace
}  // namespace warren::carrier
