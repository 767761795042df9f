#include "offload/unfinished.h"

#include <gtest/gtest.h>

#include "offload/segment.h"
#include "offload/testing.h"

namespace warren::offload {
namespace {

using namespace wire::testing;  // NOLINT

TEST(Unfinished, FinishedPacketsAreLeftAlone) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    auto spec = random_spec(random);
    spec.payload = random_bytes(random, random() % 1200);
    const auto packet = build(spec);
    const auto offload = find_unfinished(packet, spec.medium);
    if (offload.complete()) continue;
    // By chance; finishing it changes nothing.
    auto finished = packet;
    auto pending = offload;
    ASSERT_TRUE(complete_checksum(finished, pending, spec.medium));
    ASSERT_EQ(finished, packet);
  }
  EXPECT_TRUE(find_unfinished({}, Medium::ethernet).complete());
}

TEST(Unfinished, BegunChecksumsAreCompleted) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    auto spec = random_spec(random);
    spec.udp_checksum = true;
    spec.payload = random_bytes(random, 1 + random() % 1200);
    auto packet = make_super_packet(spec, 1, true);
    auto offload = find_unfinished(packet.bytes, spec.medium);
    if (!spec.extensions.empty()) continue;  // a routing header has another pseudo-header
    ASSERT_TRUE(offload.checksum_pending()) << "case " << i;
    ASSERT_FALSE(offload.is_super_packet());
    ASSERT_TRUE(complete_checksum(packet.bytes, offload, spec.medium));
    ASSERT_EQ(packet.bytes, build(spec));
  }
}

TEST(Unfinished, SuperPacketsAreSegmentedSomehow) {
  for (const bool ipv6 : {false, true}) {
    PacketSpec spec;
    spec.medium = Medium::ethernet;
    spec.ipv6 = ipv6;
    spec.payload.resize(20000, std::byte{0x5a});
    const auto super = make_super_packet(spec, 1448, true);
    const auto offload = find_unfinished(super.bytes, spec.medium);
    EXPECT_EQ(offload.gso_type, super.offload.gso_type);
    const auto plan = SegmentPlan::make(super.bytes, offload, spec.medium);
    ASSERT_TRUE(plan);
    std::size_t payload = 0;
    for (std::size_t i = 0; i < plan->count(); ++i) {
      Bytes segment(plan->segment_size(i));
      plan->write_segment(i, segment.data());
      EXPECT_LE(segment.size(), 1294U);
      EXPECT_TRUE(find_unfinished(segment, spec.medium).complete());
      payload += segment.size() - plan->header_length();
    }
    EXPECT_EQ(payload, spec.payload.size());
  }
}

}  // namespace
}  // namespace warren::offload
