#include "offload/segment.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "offload/testing.h"

namespace warren::offload {
namespace {

using namespace wire::testing;  // NOLINT

std::vector<Bytes> segment(const SuperPacket& super) {
  const auto plan = SegmentPlan::make(super.bytes, super.offload, super.medium);
  EXPECT_TRUE(plan.has_value());
  std::vector<Bytes> out;
  for (std::size_t i = 0; plan && i < plan->count(); ++i) {
    Bytes bytes(plan->segment_size(i) + 1, std::byte{0xee});
    plan->write_segment(i, bytes.data());
    EXPECT_EQ(bytes.back(), std::byte{0xee}) << "written past the end";
    bytes.pop_back();
    out.push_back(std::move(bytes));
  }
  return out;
}

std::size_t random_payload_size(Random& random, std::size_t mss, std::size_t max) {
  switch (random() % 5) {
    case 0:
      return std::min(max, mss * (1 + random() % 40));  // no short last segment
    case 1:
      return std::min(max, mss * (1 + random() % 40) + 1);  // a last segment of one byte
    case 2:
      return max;
    case 3:
      return 1 + random() % mss;  // one segment
    default:
      return 1 + random() % max;
  }
}

std::size_t random_segment_size(Random& random) {
  switch (random() % 4) {
    case 0:
      return 8 + random() % 64;
    case 1:
      return 1448;
    case 2:
      return 536 + random() % 9000;
    default:
      return 1 + random() % 1400;
  }
}

SuperPacket random_super_packet(Random& random, std::vector<Bytes>& expected) {
  auto spec = random_spec(random);
  const auto headers =
      spec.header_length() - (spec.medium == Medium::ethernet ? 14 + 4 * spec.vlan_tags : 0);
  const std::size_t max = 65535 - headers;
  auto mss = random_segment_size(random);
  if (spec.tcp) mss = std::max<std::size_t>(mss, 8);
  const auto most = spec.tcp ? max : std::min(max, mss * 128);
  spec.payload = random_bytes(random, random_payload_size(random, mss, most));
  for (const auto& part : obvious_segments(spec, mss)) expected.push_back(build(part));
  return make_super_packet(spec, static_cast<std::uint16_t>(mss), random() % 4 != 0);
}

TEST(Segment, RandomSuperPacketsAgreeWithTheOracle) {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<Bytes> expected;
    const auto super = random_super_packet(random, expected);
    ASSERT_EQ(segment(super), expected) << "case " << i;
  }
}

TEST(Segment, HeadersAloneAndInPlaceAreTheSame) {
  Random random(2);
  int in_place = 0;
  for (int i = 0; i < 1000; ++i) {
    std::vector<Bytes> expected;
    auto super = random_super_packet(random, expected);
    auto plan = SegmentPlan::make(super.bytes, super.offload, super.medium);
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->count(), expected.size());
    for (std::size_t k = 0; k < plan->count(); ++k) {
      Bytes segment(plan->header_length());
      plan->write_header(k, segment.data());
      const auto payload = plan->payload(k);
      segment.insert(segment.end(), payload.begin(), payload.end());
      ASSERT_EQ(segment, expected[k]);
    }
    if (!plan->fits_in_place()) continue;
    ++in_place;
    for (std::size_t k = 0; k < plan->count(); ++k) {
      const auto segment = plan->write_in_place(k, super.bytes);
      ASSERT_EQ(Bytes(segment.begin(), segment.end()), expected[k])
          << "case " << i << " segment " << k;
    }
  }
  EXPECT_GT(in_place, 500);
}

// The same frames, each behind its own outer headers.
TEST(Segment, BehindTheHeadersOfAVxlanItIsTheSame) {
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    std::vector<Bytes> frames;
    auto super = random_super_packet(random, frames);
    if (super.medium != Medium::ethernet) continue;
    PacketSpec outer;
    outer.ipv6 = random() % 2 == 0;
    outer.tcp = false;
    outer.udp_checksum = outer.ipv6;
    outer.dont_fragment = false;
    outer.id = static_cast<std::uint16_t>(random());
    outer.destination_port = 4789;
    put(outer.payload, 0x08000000'00002a00U, 8);
    const auto headers = build(outer);
    super.bytes.insert(super.bytes.begin(), headers.begin(), headers.end());
    super.medium = Medium::ip;
    super.offload.gso_type |= outer.ipv6 ? OffloadHeader::gso_tunnel6 : OffloadHeader::gso_tunnel4;
    if (super.offload.checksum_pending())
      super.offload.checksum_start =
          static_cast<std::uint16_t>(super.offload.checksum_start + headers.size());
    std::vector<Bytes> expected;
    for (const auto& frame : frames) {
      auto one = outer;
      put(one.payload, frame);
      expected.push_back(build(one));
      ++outer.id;
    }
    const auto largest = expected[0].size();
    if (largest > 65535) continue;
    ASSERT_EQ(segment(super), expected) << "case " << i;
    EXPECT_FALSE(SegmentPlan::make(super.bytes, super.offload, Medium::ip)->fits_in_place());
  }
}

TEST(Segment, EveryBoundarySize) {
  for (const bool tcp : {false, true}) {
    for (std::size_t size = 0; size < 70; ++size) {
      PacketSpec spec;
      spec.tcp = tcp;
      spec.payload.resize(size, std::byte{0x77});
      std::vector<Bytes> expected;
      for (const auto& part : obvious_segments(spec, 16)) expected.push_back(build(part));
      ASSERT_EQ(segment(make_super_packet(spec, 16, true)), expected);
      ASSERT_EQ(expected.size(), std::max<std::size_t>(1, (size + 15) / 16));
    }
  }
}

TEST(Segment, UdpChecksumOfZeroIsWrittenAsAllOnes) {
  PacketSpec spec;
  spec.tcp = false;
  spec.payload.resize(8);
  // Choose the last word so that the checksum of the second datagram comes out as 0.
  PacketSpec second = spec;
  second.payload.resize(4);
  auto bytes = build(second);
  spec.payload[6] = bytes[26];
  spec.payload[7] = bytes[27];
  const auto segments = segment(make_super_packet(spec, 4, true));
  ASSERT_EQ(segments.size(), 2U);
  EXPECT_EQ(segments[1][26], std::byte{0xff});
  EXPECT_EQ(segments[1][27], std::byte{0xff});
}

TEST(Segment, RefusesWhatMakesNoSense) {
  PacketSpec spec;
  spec.payload.resize(3000);
  auto super = make_super_packet(spec, 1000, true);
  auto offload = super.offload;
  offload.gso_size = 0;
  EXPECT_EQ(SegmentPlan::make(super.bytes, offload, Medium::ip).error(), DropReason::bad_offload);
  EXPECT_EQ(SegmentPlan::make(super.bytes, {}, Medium::ip).error(), DropReason::bad_offload);
  EXPECT_EQ(SegmentPlan::make({}, super.offload, Medium::ip).error(), DropReason::bad_offload);
  super.offload.flags = 0;
  EXPECT_EQ(SegmentPlan::make({}, super.offload, Medium::ip).error(), DropReason::malformed);
}

TEST(Segment, TrailingBytesAreNoPayload) {
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.payload.resize(100);
  auto super = make_super_packet(spec, 40, true);
  const auto expected = segment(super);
  super.bytes.resize(super.bytes.size() + 9, std::byte{0x55});
  EXPECT_EQ(segment(super), expected);
}

TEST(WriteSegments, FillsBatchesAndCountsWhatDidNotFit) {
  auto pool = std::move(*Pool::create(100, 2048));
  PacketSpec spec;
  spec.payload = Bytes(8000, std::byte{1});
  const auto super = make_super_packet(spec, 100, true);
  const auto expected = segment(super);
  ASSERT_EQ(expected.size(), 80U);
  const auto plan = SegmentPlan::make(super.bytes, super.offload, Medium::ip);
  ASSERT_TRUE(plan);
  Counters counters;
  std::vector<Bytes> got;
  Batch batch;
  for (std::size_t next = 0; next < plan->count();) {
    next = write_segments(*plan, next, *pool, batch, counters);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      got.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
      EXPECT_TRUE(batch.offload(i).complete());
    }
    if (next < plan->count()) {
      EXPECT_TRUE(batch.full());
      batch.clear();
    }
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(counters.dropped(), 0U);

  std::vector<Packet> taken;
  while (auto packet = pool->allocate()) taken.push_back(std::move(packet));
  EXPECT_EQ(batch.size(), 16U);
  EXPECT_EQ(write_segments(*plan, 10, *pool, batch, counters), 80U);
  EXPECT_EQ(counters.dropped(DropReason::no_buffer), 70U);
  taken.clear();
  batch.clear();

  auto small = std::move(*Pool::create(10, 64));
  EXPECT_EQ(write_segments(*plan, 0, *small, batch, counters), 80U);
  EXPECT_EQ(counters.dropped(DropReason::too_big), 80U);
}

TEST(CompleteChecksum, AgreesWithTheBuilder) {
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    auto spec = random_spec(random);
    spec.payload = random_bytes(random, random() % 2000);
    auto pending = make_super_packet(spec, 1, true);
    pending.offload.gso_type = OffloadHeader::gso_none;
    pending.bytes.resize(pending.bytes.size() + random() % 3);
    auto expected = build(spec);
    expected.resize(pending.bytes.size());
    ASSERT_TRUE(complete_checksum(pending.bytes, pending.offload, spec.medium));
    EXPECT_TRUE(pending.offload.complete());
    ASSERT_EQ(pending.bytes, expected);
  }
}

TEST(CompleteChecksum, LeavesCompletePacketsAloneAndRefusesBadPositions) {
  PacketSpec spec;
  spec.payload.resize(9);
  const auto expected = build(spec);
  auto bytes = expected;
  OffloadHeader offload;
  offload.flags = OffloadHeader::checksum_valid;
  EXPECT_TRUE(complete_checksum(bytes, offload, Medium::ip));
  EXPECT_EQ(bytes, expected);
  offload.flags = OffloadHeader::needs_checksum;
  offload.checksum_start = 20;
  offload.checksum_offset = 1000;
  EXPECT_EQ(complete_checksum(bytes, offload, Medium::ip).error(), DropReason::bad_offload);
  EXPECT_EQ(bytes, expected);
  offload.gso_type = OffloadHeader::gso_tcp4;
  EXPECT_EQ(complete_checksum(bytes, offload, Medium::ip).error(), DropReason::bad_offload);
  bytes.resize(60);
  offload.gso_type = OffloadHeader::gso_none;
  offload.checksum_offset = 35;
  EXPECT_EQ(complete_checksum(bytes, offload, Medium::ip).error(), DropReason::bad_offload)
      << "in the padding";
}

}  // namespace
}  // namespace warren::offload
