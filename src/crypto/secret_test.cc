#include "crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "crypto/testing.h"

namespace warren::crypto {
namespace {

TEST(Secret, IsWipedAtItsEnd) {
  alignas(Key) std::uint8_t memory[sizeof(Key)];
  auto* const key = ::new (memory) Key(Key::random());
  EXPECT_FALSE(key->is_zero());
  key->~Key();
  const std::uint8_t zeros[sizeof(Key)] = {};
  EXPECT_EQ(std::memcmp(memory, zeros, sizeof memory), 0);
}

TEST(Secret, Compares) {
  const Key a = Key::random();
  Key b = a;
  EXPECT_EQ(a, b);
  for (std::size_t i = 0; i < b.size(); ++i) {
    b.data()[i] ^= 1;
    EXPECT_FALSE(a == b) << i;
    b.data()[i] ^= 1;
  }
  EXPECT_TRUE(Key{}.is_zero());
  EXPECT_FALSE(constant_time_equal(std::string_view("ab"), std::string_view("abc")));
  EXPECT_TRUE(constant_time_equal(Bytes{}, Bytes{}));
}

TEST(Secret, RandomBytesDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(seen.insert(testing::to_hex(Key::random())).second);
}

// What the kernel says about the pages at `at`: the flags of its mapping.
std::string mapping_flags(const void* at) {
  std::ifstream maps("/proc/self/smaps");
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2)
      inside = from <= address && address < to;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

TEST(LockedMemory, IsOutsideCoreDumpsAndSwap) {
  const auto key = make_locked<Key>(Key::random());
  const auto flags = mapping_flags(key.get());
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer replaces mlock() by nothing; the release build tests it";
#endif
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_cur < (1 << 16)) GTEST_SKIP() << "RLIMIT_MEMLOCK is below 64 KiB";
  EXPECT_TRUE(secrets_are_locked());
  EXPECT_NE(flags.find(" lo "), std::string::npos) << flags;
}

TEST(LockedMemory, IsWipedWhenItIsFreed) {
  struct Two {
    Key first = Key::random();  // becomes the link of the list of free pieces
    Key second = Key::random();
  };
  auto two = make_locked<Two>();
  const auto* const second = two->second.data();
  two.reset();
  const std::uint8_t zeros[32] = {};
  EXPECT_EQ(std::memcmp(second, zeros, sizeof zeros), 0);
}

TEST(LockedMemory, GivesPiecesOnceAndAgain) {
  std::set<Key*> seen;
  std::vector<Locked<Key>> keys;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2000; ++i) {
      keys.push_back(make_locked<Key>(Key::random()));
      seen.insert(keys.back().get());
    }
    const std::set<std::string> values = [&] {
      std::set<std::string> out;
      for (const auto& key : keys) out.insert(testing::to_hex(*key));
      return out;
    }();
    EXPECT_EQ(values.size(), 2000U);
    keys.clear();
  }
  EXPECT_LE(seen.size(), 2001U);
  EXPECT_THROW((void)allocate_locked(4097), std::bad_alloc);
}

}  // namespace
}  // namespace warren::crypto
