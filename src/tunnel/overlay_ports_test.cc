#include "tunnel/overlay_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "offload/testing.h"
#include "wire/vxlan_outer.h"

namespace warren::tunnel {
namespace {

using ::testing::ElementsAre;
using wire::testing::Bytes;
using wire::testing::PacketSpec;

/// Stands for the VXLAN.
class Vxlan final : public Port {
 public:
  explicit Vxlan(bool borrows) : Port("over"), borrows_(borrows) {}
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.medium = Medium::ip};
  }
  void receive(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i)
      packets.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
    batch.clear();
  }
  [[nodiscard]] bool borrow(std::span<const std::span<std::byte>> lent) noexcept override {
    for (const auto packet : lent)
      if (borrows_) packets.emplace_back(packet.begin(), packet.end());
    return borrows_;
  }
  void flush() noexcept override { ++bursts; }
  void send(Batch& batch) noexcept { emit(batch); }

  std::vector<Bytes> packets;
  int bursts = 0;

 private:
  bool borrows_;
};

PacketSpec message(std::size_t frame_size) {
  PacketSpec spec;
  spec.tcp = false;
  spec.udp_checksum = false;
  spec.dont_fragment = false;
  spec.source_host = 2;
  spec.destination_host = 1;
  spec.destination_port = 4789;
  wire::testing::put(spec.payload, 0x08000000'00000800U, 8);
  spec.payload.resize(8 + frame_size);
  return spec;
}

class OverlayPortsTest : public ::testing::Test {
 protected:
  explicit OverlayPortsTest(bool borrows = true) : vxlan(borrows) {
    traffic.set_ports({&port});
    port.connect(vxlan);
    vxlan.connect(port);
  }
  void send(const Bytes& bytes, const OffloadHeader& offload = {}) {
    Batch batch;
    auto packet = pool->allocate();
    packet.resize(bytes.size());
    std::ranges::copy(bytes, packet.data());
    packet.offload() = offload;
    batch.push(std::move(packet));
    vxlan.send(batch);
    EXPECT_TRUE(batch.empty());
  }

  std::unique_ptr<Pool> pool = Pool::create(256, Pool::super_packet_size).value();
  Vxlan vxlan;
  OverlayPort port{{"vx8", IpAddress::parse("10.0.0.1").value(), 4789, 8}};
  std::vector<Bytes> sent;
  OverlayTraffic traffic{*pool, [this](Batch& batch) {
                           for (std::size_t i = 0; i < batch.size(); ++i)
                             sent.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
                           batch.clear();
                         }};
};

TEST_F(OverlayPortsTest, TakesWhatIsForItsVxlan) {
  auto mine = wire::testing::build(message(60));
  auto of_another_network = mine;
  of_another_network[34] = std::byte{9};
  auto to_another_port = message(60);
  to_another_port.destination_port = 4790;
  auto to_another_host = message(60);
  to_another_host.destination_host = 3;
  auto fragment = mine;
  fragment[6] = std::byte{0x20};
  for (auto other :
       {of_another_network, wire::testing::build(to_another_port),
        wire::testing::build(to_another_host), fragment, Bytes(), Bytes(20, std::byte{0x45})})
    EXPECT_FALSE(traffic.take(other));
  EXPECT_TRUE(traffic.take(mine));
  EXPECT_TRUE(vxlan.packets.empty());
  traffic.deliver();
  EXPECT_THAT(vxlan.packets, ElementsAre(mine));
  traffic.end_burst();
  EXPECT_EQ(vxlan.bursts, 1);
  EXPECT_EQ(port.sent.packets.value(), 1U);
  // Nobody is there: the kernel's socket may be.
  port.disconnect();
  EXPECT_FALSE(traffic.take(mine));
}

struct CopyingOverlayPortsTest : OverlayPortsTest {
  CopyingOverlayPortsTest() : OverlayPortsTest(false) {}
};

TEST_F(CopyingOverlayPortsTest, GivesCopiesToWhoeverDoesNotBorrow) {
  auto mine = wire::testing::build(message(60));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(traffic.take(mine));
  traffic.deliver();
  ASSERT_EQ(vxlan.packets.size(), 100U);
  EXPECT_EQ(vxlan.packets[99], mine);
}

TEST_F(OverlayPortsTest, WhatFitsPassesAndTheRestIsFragmented) {
  traffic.set_mtu(1420);
  send(wire::testing::build(message(1384)));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].size(), 1420U);
  send(wire::testing::build(message(1514)));
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[1].size(), 1420U);
  EXPECT_EQ(sent[2].size(), 150U);
  EXPECT_EQ(traffic.fragments(), 2U);
  auto never = message(1514);
  never.dont_fragment = true;
  send(wire::testing::build(never));
  EXPECT_EQ(sent.size(), 3U);
  EXPECT_EQ(port.received.dropped(DropReason::too_big), 1U);
}

TEST_F(OverlayPortsTest, SuperPacketsPassWholeOrAsFragmentsOfTheirSegments) {
  PacketSpec frame;
  frame.medium = Medium::ethernet;
  frame.payload.resize(14480);
  auto super = offload::make_super_packet(frame, 1448, true);
  const auto outer = wire::testing::build(message(0));
  super.bytes.insert(super.bytes.begin(), outer.begin(), outer.end());
  super.offload.gso_type |= OffloadHeader::gso_tunnel4;
  super.offload.checksum_start =
      static_cast<std::uint16_t>(super.offload.checksum_start + outer.size());
  traffic.set_mtu(1600);
  send(super.bytes, super.offload);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0], super.bytes);
  sent.clear();
  traffic.set_mtu(1420);
  send(super.bytes, super.offload);
  ASSERT_EQ(sent.size(), 20U);
  std::size_t payload = 0;
  for (const auto& fragment : sent) {
    EXPECT_LE(fragment.size(), 1420U);
    payload += fragment.size() - 20;
  }
  EXPECT_EQ(payload, 10 * (8 + 8 + 14 + 20 + 20) + 14480U);
}

TEST_F(OverlayPortsTest, WaitsWhileTheEngineReceives) {
  traffic.engine_receives(true);
  for (int i = 0; i < 9; ++i) send(wire::testing::build(message(60)));
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(port.received.dropped(DropReason::queue_full), 1U);
  traffic.engine_receives(false);
  EXPECT_EQ(sent.size(), 8U);
}

TEST_F(OverlayPortsTest, SaysThatTheInterfaceIsGone) {
  traffic.set_ports({});
  send(wire::testing::build(message(60)));
  EXPECT_EQ(port.received.dropped(DropReason::device_error), 1U);
}

}  // namespace
}  // namespace warren::tunnel
