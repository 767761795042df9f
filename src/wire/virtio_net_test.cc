#include "wire/virtio_net.h"

#include <gtest/gtest.h>

#include "wire/testing.h"

namespace warren::wire {
namespace {

using testing::build;
using testing::PacketSpec;

struct Case {
  PacketSpec spec;
  OffloadHeader offload;

  [[nodiscard]] std::optional<DropReason> check() const {
    return check_offload(build(spec), offload, spec.medium);
  }
};

Case super_packet(bool ipv6, bool tcp) {
  Case c;
  c.spec.ipv6 = ipv6;
  c.spec.tcp = tcp;
  c.spec.payload.resize(5000);
  c.offload.flags = OffloadHeader::needs_checksum;
  c.offload.gso_type = !tcp   ? OffloadHeader::gso_udp
                       : ipv6 ? OffloadHeader::gso_tcp6
                              : OffloadHeader::gso_tcp4;
  c.offload.gso_size = 1400;
  c.offload.checksum_start = static_cast<std::uint16_t>(c.spec.l4());
  c.offload.checksum_offset = tcp ? 16 : 6;
  return c;
}

void expect_bad(const Case& c, const char* what) {
  EXPECT_EQ(c.check(), DropReason::bad_offload) << what;
}

TEST(CheckOffload, AcceptsWhatTheKernelMakes) {
  for (const bool ipv6 : {false, true}) {
    for (const bool tcp : {false, true}) {
      auto c = super_packet(ipv6, tcp);
      EXPECT_EQ(c.check(), std::nullopt);
      c.offload.header_length = 9999;
      EXPECT_EQ(c.check(), std::nullopt) << "the hint is not looked at";
      c.offload.flags = 0;
      EXPECT_EQ(c.check(), std::nullopt) << "a super-packet whose checksum is complete";
      c.offload = {};
      EXPECT_EQ(c.check(), std::nullopt);
    }
  }
  auto c = super_packet(false, true);
  c.offload.gso_type |= OffloadHeader::gso_ecn;
  EXPECT_EQ(c.check(), std::nullopt);
  c.spec.medium = Medium::ethernet;
  c.spec.vlan_tags = 2;
  c.offload.checksum_start = static_cast<std::uint16_t>(c.spec.l4());
  EXPECT_EQ(c.check(), std::nullopt);
}

TEST(CheckOffload, ChecksumOutOfRange) {
  auto c = super_packet(false, true);
  c.offload.gso_type = OffloadHeader::gso_none;
  EXPECT_EQ(c.check(), std::nullopt);
  c.offload.checksum_start = 5040 - 17;
  expect_bad(c, "the field ends behind the packet");
  c.offload.checksum_start = 5040 - 18;
  EXPECT_EQ(c.check(), std::nullopt);
  c.offload.checksum_start = 65535;
  c.offload.checksum_offset = 65535;
  expect_bad(c, "sum of both overflows 16 bits");
  c.offload.checksum_start = 0;
  c.offload.checksum_offset = 16;
  expect_bad(c, "over the IP header");
}

TEST(CheckOffload, SegmentationThatMakesNoSense) {
  auto c = super_packet(false, true);
  c.offload.gso_size = 0;
  expect_bad(c, "no size");
  c.offload.gso_size = 7;
  expect_bad(c, "smaller than the kernel's least");
  c.offload.gso_size = 65535;
  expect_bad(c, "segments longer than IP takes");
  c = super_packet(false, false);
  c.offload.gso_size = 39;
  expect_bad(c, "more than 128 datagrams");
  c.offload.gso_size = 40;
  EXPECT_EQ(c.check(), std::nullopt);
  c.offload.gso_type |= OffloadHeader::gso_ecn;
  expect_bad(c, "ECN is for TCP");
}

TEST(CheckOffload, TypeMustMatchThePacket) {
  for (const bool ipv6 : {false, true}) {
    for (const bool tcp : {false, true}) {
      auto c = super_packet(ipv6, tcp);
      const auto right = c.offload.gso_type;
      for (unsigned type = 1; type < 256; ++type) {
        c.offload.gso_type = static_cast<std::uint8_t>(type);
        const bool ecn = tcp && type == (right | OffloadHeader::gso_ecn);
        if (type != right && !ecn) expect_bad(c, "another type");
      }
    }
  }
}

TEST(CheckOffload, HeadersMustBeThere) {
  auto c = super_packet(false, true);
  auto packet = build(c.spec);
  packet[6] = std::byte{0x20};
  EXPECT_EQ(check_offload(packet, c.offload, Medium::ip), DropReason::bad_offload) << "a fragment";
  packet = build(c.spec);
  packet[32] = std::byte{0x40};
  EXPECT_EQ(check_offload(packet, c.offload, Medium::ip), DropReason::bad_offload)
      << "TCP header of 16 bytes";
  packet[0] = std::byte{0};
  EXPECT_EQ(check_offload(packet, c.offload, Medium::ip), DropReason::malformed) << "not IP";
  EXPECT_EQ(check_offload({}, c.offload, Medium::ip), DropReason::bad_offload);
  c = super_packet(false, false);
  packet = build(c.spec);
  packet[25] = std::byte{0x10};
  EXPECT_EQ(check_offload(packet, c.offload, Medium::ip), DropReason::bad_offload)
      << "UDP length differs from IP's";
  c.offload.checksum_start++;
  EXPECT_EQ(check_offload(packet, c.offload, Medium::ip), DropReason::bad_offload)
      << "checksum elsewhere";
}

}  // namespace
}  // namespace warren::wire
