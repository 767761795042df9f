#include "offload/segmenting_sink.h"

#include <gtest/gtest.h>

#include <cstring>

#include "offload/testing.h"

namespace warren::offload {
namespace {

using namespace wire::testing;  // NOLINT

class Collector final : public PacketSink {
 public:
  void receive(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      packets.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
      offloads.push_back(batch.offload(i));
    }
    batch.clear();
  }
  void flush() noexcept override { ++flushes; }

  std::vector<Bytes> packets;
  std::vector<OffloadHeader> offloads;
  int flushes = 0;
};

class SegmentingSinkTest : public ::testing::Test {
 protected:
  void push(const Bytes& bytes, const OffloadHeader& offload) {
    auto packet = source->allocate();
    packet.resize(bytes.size());
    std::memcpy(packet.data(), bytes.data(), bytes.size());
    packet.offload() = offload;
    batch.push(std::move(packet));
  }
  void send(const Capabilities& takes, std::size_t pool_packets = 256) {
    SegmentingSink sink(collector, takes,
                        std::move(*Pool::create(pool_packets, Pool::super_packet_size)), counters);
    sink.receive(batch);
    sink.flush();
    EXPECT_TRUE(batch.empty());
  }

  std::unique_ptr<Pool> source = std::move(*Pool::create(Batch::capacity, Pool::super_packet_size));
  Batch batch;
  Collector collector;
  Counters counters;
};

TEST_F(SegmentingSinkTest, FinishesEverythingInOrder) {
  Random random(1);
  std::vector<Bytes> expected;
  while (!batch.full()) {
    auto spec = random_spec(random);
    spec.medium = Medium::ip;
    const auto kind = random() % 3;
    spec.payload = random_bytes(random, 1 + random() % 5000);
    if (kind == 0) {
      for (const auto& part : obvious_segments(spec, 300)) expected.push_back(build(part));
      const auto super = make_super_packet(spec, 300, true);
      push(super.bytes, super.offload);
    } else {
      auto pending = make_super_packet(spec, 1, kind == 1);
      pending.offload.gso_type = OffloadHeader::gso_none;
      expected.push_back(build(spec));
      push(pending.bytes, pending.offload);
    }
  }
  send({});
  EXPECT_EQ(collector.packets, expected);
  for (const auto& offload : collector.offloads) EXPECT_TRUE(offload.complete());
  EXPECT_EQ(collector.flushes, 1);
  EXPECT_EQ(counters.dropped(), 0U);
}

TEST_F(SegmentingSinkTest, WhatTheConsumerTakesIsNotTouched) {
  PacketSpec spec;
  spec.payload.resize(3000);
  const auto tcp = make_super_packet(spec, 1000, true);
  spec.tcp = false;
  const auto udp = make_super_packet(spec, 1000, true);
  push(tcp.bytes, tcp.offload);
  push(udp.bytes, udp.offload);
  send({.checksum = true, .tso4 = true});
  ASSERT_EQ(collector.packets.size(), 4U);
  EXPECT_EQ(collector.packets[0], tcp.bytes);
  EXPECT_EQ(collector.offloads[0], tcp.offload);
  EXPECT_TRUE(collector.offloads[1].complete());
}

TEST_F(SegmentingSinkTest, BadOffloadHeadersAreCountedAndDropped) {
  PacketSpec spec;
  spec.payload.resize(3000);
  auto bad = make_super_packet(spec, 0, true);
  push(bad.bytes, bad.offload);
  bad.offload.gso_type = 7;
  push(bad.bytes, bad.offload);
  bad.offload = {};
  bad.offload.flags = OffloadHeader::needs_checksum;
  bad.offload.checksum_start = 60000;
  push(bad.bytes, bad.offload);
  const auto good = build(spec);
  push(good, {});
  send({});
  ASSERT_EQ(collector.packets.size(), 1U);
  EXPECT_EQ(collector.packets[0], good);
  EXPECT_EQ(counters.dropped(DropReason::bad_offload), 3U);
}

TEST_F(SegmentingSinkTest, AnEmptyPoolLosesSegmentsAndSaysSo) {
  PacketSpec spec;
  spec.payload.resize(10000);
  const auto super = make_super_packet(spec, 100, true);
  push(super.bytes, super.offload);
  send({}, 30);
  EXPECT_EQ(collector.packets.size(), 30U);
  EXPECT_EQ(counters.dropped(DropReason::no_buffer), 70U);
}

}  // namespace
}  // namespace warren::offload
