#include "wire/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/testing.h"

namespace warren::wire {
namespace {

using testing::Bytes;
using testing::Random;
using testing::random_bytes;

std::uint16_t obvious(std::span<const std::byte> bytes) {
  return network(testing::obvious_checksum(Bytes(bytes.begin(), bytes.end())));
}

TEST(Checksum, EveryShortSizeAndAlignmentAgreesWithTheObviousSum) {
  Random random(1);
  const auto bytes = random_bytes(random, 512);
  Bytes out(600);
  for (std::size_t offset = 0; offset < 33; ++offset) {
    for (std::size_t size = 0; size < 300; ++size) {
      const auto part = std::span(bytes).subspan(offset, size);
      const auto expected = obvious(part);
      ASSERT_EQ(finish(sum_bytes(part)), expected) << offset << " " << size;
      std::fill(out.begin(), out.end(), std::byte{0xa5});
      ASSERT_EQ(finish(copy_and_sum(out.data() + offset / 2, part)), expected)
          << offset << " " << size;
      ASSERT_TRUE(std::equal(part.begin(), part.end(), out.data() + offset / 2));
      ASSERT_EQ(out[offset / 2 + size], std::byte{0xa5}) << "written past the end";
    }
  }
}

TEST(Checksum, ImplementationsAgreeOnLongRunsThatCouldOverflow) {
  const std::size_t size = (std::size_t{3} << 19) + 77;
  Bytes out(size);
  for (const auto fill : {0x00, 0x7f, 0x80, 0xff}) {
    const Bytes bytes(size, static_cast<std::byte>(fill));
    const auto expected = obvious(bytes);
    EXPECT_EQ(finish(checksum_kernel::sum_portable(bytes.data(), size)), expected);
    EXPECT_EQ(finish(checksum_kernel::copy_portable(out.data(), bytes.data(), size)), expected);
#ifdef __x86_64__
    if (!checksum_kernel::has_avx2()) GTEST_SKIP() << "this machine has no AVX2";
    EXPECT_EQ(finish(checksum_kernel::sum_avx2(bytes.data(), size)), expected);
    EXPECT_EQ(finish(checksum_kernel::copy_avx2(out.data(), bytes.data(), size)), expected);
    EXPECT_EQ(out, bytes);
#endif
  }
}

TEST(Checksum, PortableKernelAgreesOnRandomBytes) {
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const auto bytes = random_bytes(random, random() % 3000);
    Bytes out(bytes.size());
    ASSERT_EQ(finish(checksum_kernel::sum_portable(bytes.data(), bytes.size())), obvious(bytes));
    ASSERT_EQ(finish(checksum_kernel::copy_portable(out.data(), bytes.data(), bytes.size())),
              obvious(bytes));
    ASSERT_EQ(out, bytes);
  }
}

TEST(Checksum, FoldTakesAnySum) {
  EXPECT_EQ(fold(0), 0);
  EXPECT_EQ(fold(~Sum{0}), 0xffff);
  EXPECT_EQ(fold(0x10000), 1);
  EXPECT_EQ(fold(0xffff'0000'0000'0001U), fold(0xffff + 1));
  EXPECT_EQ(finish_udp(0xffff), 0xffff);
  EXPECT_EQ(finish(0xffff), 0);
}

TEST(Checksum, ExampleOfRfc1071) {
  const Bytes bytes{std::byte{0x00}, std::byte{0x01}, std::byte{0xf2}, std::byte{0x03},
                    std::byte{0xf4}, std::byte{0xf5}, std::byte{0xf6}, std::byte{0xf7}};
  EXPECT_EQ(network(fold(sum_bytes(bytes))), 0xddf2);
}

TEST(Checksum, PseudoHeadersAreTheirBytes) {
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    const auto addresses = random_bytes(random, 32);
    const auto length = static_cast<std::uint16_t>(random());
    Bytes v4(addresses.begin(), addresses.begin() + 8);
    testing::put(v4, 17, 2);
    testing::put(v4, length, 2);
    EXPECT_EQ(finish(sum_pseudo_header4(addresses.data(), 17, length)), obvious(v4));
    Bytes v6 = addresses;
    testing::put(v6, length + 0x10000U, 4);
    testing::put(v6, 6, 4);
    EXPECT_EQ(finish(sum_pseudo_header6(addresses.data(), 6, length + 0x10000U)), obvious(v6));
  }
}

TEST(Checksum, IncrementalUpdateEqualsAFullSum) {
  Random random(4);
  for (int i = 0; i < 5000; ++i) {
    auto bytes = random_bytes(random, 40);
    if (i % 8 == 0)
      std::fill(bytes.begin(), bytes.end(),
                std::byte{static_cast<unsigned char>(i % 16 ? 0xff : 0)});
    const auto checksum = finish(sum_bytes(bytes));
    const auto at = random() % 20 * 2;
    const auto before = load_raw<std::uint16_t>(bytes.data() + at);
    const auto after = static_cast<std::uint16_t>(random());
    store_raw(bytes.data() + at, after);
    // Data of nothing but zeros aside, both zeros mean the same: compare what a receiver computes.
    EXPECT_TRUE(is_valid(sum_bytes(bytes) + update_checksum(checksum, before, after)));

    const auto old_sum = sum_bytes(std::span(bytes).subspan(at / 2 * 2 > 24 ? 24 : at, 16));
    const auto from = at > 24 ? 24 : at;
    const auto current = finish(sum_bytes(bytes));
    const auto fresh = random_bytes(random, 16);
    std::copy(fresh.begin(), fresh.end(), bytes.begin() + static_cast<std::ptrdiff_t>(from));
    EXPECT_TRUE(
        is_valid(sum_bytes(bytes) + update_checksum_by_sums(current, old_sum, sum_bytes(fresh))));
  }
}

}  // namespace
}  // namespace warren::wire
