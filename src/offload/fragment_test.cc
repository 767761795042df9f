#include "offload/fragment.h"

#include <gtest/gtest.h>

#include "wire/checksum.h"
#include "wire/headers.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/testing.h"

namespace warren::offload {
namespace {

using namespace wire::testing;  // NOLINT

std::vector<Bytes> fragments_of(const Bytes& packet, std::size_t mtu) {
  const auto plan = FragmentPlan::make(packet, mtu, 0x01020304);
  EXPECT_TRUE(plan.has_value());
  std::vector<Bytes> out;
  for (std::size_t i = 0; plan && i < plan->count(); ++i) {
    Bytes bytes(plan->fragment_size(i));
    plan->write_fragment(i, bytes.data());
    out.push_back(std::move(bytes));
  }
  return out;
}

// As a receiver does it: the payloads to where the fragments say, and the first one's header.
Bytes reassemble(const std::vector<Bytes>& fragments, bool ipv6) {
  const std::size_t header = ipv6 ? 48 : 20;
  Bytes payload;
  std::size_t end = 0;
  for (const auto& fragment : fragments) {
    const auto word = wire::load16(fragment.data() + (ipv6 ? 42 : 6));
    const std::size_t offset = ipv6 ? word & 0xfff8U : (word & 0x1fffU) * 8U;
    const bool more = ipv6 ? (word & 1U) != 0 : (word & 0x2000U) != 0;
    const auto size = fragment.size() - header;
    EXPECT_TRUE(!more || size % 8 == 0);
    if (payload.size() < offset + size) payload.resize(offset + size);
    std::copy(fragment.begin() + static_cast<std::ptrdiff_t>(header), fragment.end(),
              payload.begin() + static_cast<std::ptrdiff_t>(offset));
    if (!more) end = offset + size;
    EXPECT_TRUE(wire::parse_headers(fragment, Medium::ip)->fragment);
    EXPECT_TRUE(ipv6 ? wire::load32(fragment.data() + 44) == 0x01020304U
                     : wire::is_valid(wire::sum_bytes(std::span(fragment).first(20))));
  }
  EXPECT_EQ(end, payload.size());
  return payload;
}

TEST(Fragment, WhatComesOutIsWhatWentIn) {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    PacketSpec spec;
    spec.ipv6 = random() % 2 == 0;
    spec.tcp = false;
    spec.dont_fragment = false;
    const std::size_t mtu = (spec.ipv6 ? 1280 : 68) + random() % 1500;
    spec.payload = random_bytes(random, mtu + random() % 8000);
    const auto packet = build(spec);
    const auto fragments = fragments_of(packet, mtu);
    ASSERT_GE(fragments.size(), 2U);
    for (const auto& fragment : fragments) ASSERT_LE(fragment.size(), mtu);
    const auto header = static_cast<std::ptrdiff_t>(spec.l4());
    ASSERT_EQ(reassemble(fragments, spec.ipv6), Bytes(packet.begin() + header, packet.end()));
  }
}

// 1500 bytes in a VXLAN over WireGuard: 1400 and 130 bytes of payload.
TEST(Fragment, SizesAreTheKernels) {
  PacketSpec spec;
  spec.tcp = false;
  spec.dont_fragment = false;
  spec.payload.resize(1550 - 28);
  const auto fragments = fragments_of(build(spec), 1420);
  ASSERT_EQ(fragments.size(), 2U);
  EXPECT_EQ(fragments[0].size(), 1420U);
  EXPECT_EQ(fragments[1].size(), 150U);
}

TEST(Fragment, WhatMustNotBeFragmentedIsNot) {
  PacketSpec spec;
  spec.payload.resize(3000);
  EXPECT_EQ(FragmentPlan::make(build(spec), 1500, 0).error(), DropReason::too_big);
  spec.dont_fragment = false;
  EXPECT_EQ(FragmentPlan::make(build(spec), 27, 0).error(), DropReason::too_big);
  auto again = fragments_of(build(spec), 1500);
  EXPECT_EQ(FragmentPlan::make(again[0], 1000, 0).error(), DropReason::malformed);
  spec.ipv6 = true;
  spec.first_extension = 60;
  spec.extensions = Bytes{std::byte{6}, std::byte{0}, std::byte{1}, std::byte{4},
                          std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  EXPECT_EQ(FragmentPlan::make(build(spec), 1280, 0).error(), DropReason::malformed);
  EXPECT_EQ(FragmentPlan::make({}, 1000, 0).error(), DropReason::malformed);
}

}  // namespace
}  // namespace warren::offload
