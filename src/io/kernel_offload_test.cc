// The kernel as the oracle of offload/: what we would segment or have coalesced is sent through it.
//
//     test -> wide (takes super-packets) -> the kernel forwards -> narrow (takes none) -> test
//
// At narrow the kernel must segment in software: its packets are compared with ours, byte by byte.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <memory>

#include <warren/tun.h>

#include "linux/netns.h"
#include "offload/coalesce.h"
#include "offload/segment.h"
#include "offload/testing.h"
#include "wire/virtio_net.h"

namespace warren {
namespace {

using namespace wire::testing;  // NOLINT
using offload::make_super_packet;
using offload::obvious_segments;
using offload::SuperPacket;

class KernelOffloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    netns_ = std::move(*create_netns());
    wide_ = open("wide", true, "10.1.0.1/16", "fd00:0:0:1::1:1/112");
    narrow_ = open("narrow", false, "10.2.0.1/16", "fd00:0:0:1::2:1/112");
    const auto scope = NetnsScope::enter(netns_.get());
    ASSERT_TRUE(scope) << scope.error().message;
    std::ofstream("/proc/sys/net/ipv4/ip_forward") << 1;
    std::ofstream("/proc/sys/net/ipv6/conf/all/forwarding") << 1;
  }

  std::unique_ptr<Tun> open(const char* name, bool offload, const char* ipv4, const char* ipv6) {
    TunConfig config;
    config.name = name;
    config.netns = "/proc/self/fd/" + std::to_string(netns_.get());
    config.addresses = {*IpPrefix::parse(ipv4), *IpPrefix::parse(ipv6)};
    config.mtu = 1500;
    config.tx_queue_length = 1000;
    config.offload = offload;
    auto tun = Tun::open(config);
    EXPECT_TRUE(tun) << tun.error().message;
    return tun ? std::make_unique<Tun>(std::move(*tun)) : nullptr;
  }

  /// A packet that the kernel forwards, and whose segments fit the MTU.
  PacketSpec random_forwarded(Random& random, bool tcp) {
    auto spec = random_spec(random);
    spec.medium = Medium::ip;
    spec.tcp = tcp;
    spec.ttl = static_cast<std::uint8_t>(2 + random() % 250);
    spec.source_host = 0x10009;
    spec.destination_host = 0x20009;
    spec.ip_options.clear();
    spec.extensions.clear();
    if (spec.ipv6 && random() % 2 == 0) {  // destination options: routers leave them alone
      spec.first_extension = 60;
      put(spec.extensions, tcp ? 6 : 17, 1);
      put(spec.extensions, 0x0001'0400'0000'00U, 7);
    }
    return spec;
  }

  void send(std::span<const iovec> pieces) {
    ASSERT_GT(::writev(wide_->fd(), pieces.data(), static_cast<int>(pieces.size())), 0)
        << std::strerror(errno);
  }
  void send(const SuperPacket& super) {
    auto packet = super;
    const iovec pieces[] = {{&packet.offload, sizeof packet.offload},
                            {packet.bytes.data(), packet.bytes.size()}};
    send(pieces);
  }

  /// The next TCP or UDP packet at the far side; the kernel's own multicasts are passed over.
  Bytes receive() {
    Bytes buffer(65536);
    for (;;) {
      pollfd ready{narrow_->fd(), POLLIN, 0};
      if (::poll(&ready, 1, 5000) != 1) return {};
      const auto size = ::read(narrow_->fd(), buffer.data(), buffer.size());
      if (size <= 0) return {};
      const auto packet = std::span(buffer).first(static_cast<std::size_t>(size));
      const auto headers = wire::parse_headers(packet, Medium::ip);
      if (headers && (headers->protocol == 6 || headers->protocol == 17))
        return {packet.begin(), packet.end()};
    }
  }

  [[nodiscard]] bool kernel_has(bool tcp) const {
    return tcp ? wide_->offloads().tso4 : wide_->offloads().uso;
  }

  Fd netns_;
  std::unique_ptr<Tun> wide_;
  std::unique_ptr<Tun> narrow_;
};

std::vector<Bytes> our_segments(const SuperPacket& super) {
  const auto plan = offload::SegmentPlan::make(super.bytes, super.offload, Medium::ip);
  std::vector<Bytes> out;
  for (std::size_t i = 0; plan && i < plan->count(); ++i) {
    out.emplace_back(plan->segment_size(i));
    plan->write_segment(i, out.back().data());
  }
  return out;
}

TEST_F(KernelOffloadTest, TheKernelSegmentsAsWeDo) {
  Random random(1);
  for (const bool tcp : {true, false}) {
    if (!kernel_has(tcp))
      GTEST_SKIP() << "this kernel has no UDP segmentation for TUN devices (6.2 and newer)";
    for (int round = 0; round < 200; ++round) {
      auto spec = random_forwarded(random, tcp);
      const auto room = 1500 - spec.header_length();
      const auto mss = static_cast<std::uint16_t>(room - random() % 1000);
      const auto most = std::min(mss * std::size_t{60}, 65535 - spec.header_length());
      spec.payload = random_bytes(random, mss + 1 + random() % (most - mss));
      send(make_super_packet(spec, mss, true));
      --spec.ttl;  // the kernel forwarded it
      for (const auto& expected : our_segments(make_super_packet(spec, mss, true))) {
        ASSERT_EQ(receive(), expected)
            << "round " << round << (tcp ? " tcp" : " udp") << (spec.ipv6 ? 6 : 4);
      }
    }
  }
}

TEST_F(KernelOffloadTest, TheKernelTakesWhatWeCoalescedAndGivesBackThePackets) {
  Random random(2);
  const auto coalescer = std::make_unique<offload::Coalescer>(offload::CoalesceOptions{});
  for (const bool tcp : {true, false}) {
    if (!kernel_has(tcp))
      GTEST_SKIP() << "this kernel has no UDP segmentation for TUN devices (6.2 and newer)";
    for (int round = 0; round < 200; ++round) {
      auto spec = random_forwarded(random, tcp);
      spec.flags = static_cast<std::uint8_t>(spec.flags & ~0x27);
      const auto mss = 1500 - spec.header_length() - random() % 1000;
      const auto most = std::min(mss * std::size_t{60}, 65535 - spec.header_length());
      spec.payload = random_bytes(random, mss + 1 + random() % (most - mss));
      std::vector<Bytes> sent;
      for (const auto& part : obvious_segments(spec, mss)) sent.push_back(build(part));
      for (const auto& packet : sent) ASSERT_TRUE(coalescer->add(packet, {}));
      const auto items = coalescer->finish();
      ASSERT_EQ(items.size(), 1U);
      send(items[0].pieces_with_offload());
      --spec.ttl;
      for (const auto& part : obvious_segments(spec, mss)) {
        ASSERT_EQ(receive(), build(part))
            << "round " << round << (tcp ? " tcp" : " udp") << (spec.ipv6 ? 6 : 4);
      }
    }
  }
}

TEST_F(KernelOffloadTest, TheKernelCompletesChecksumsAsWeDo) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    auto spec = random_forwarded(random, round % 2 == 0);
    spec.payload = random_bytes(random, random() % 1000);
    const auto pending = [&] {
      auto packet = make_super_packet(spec, 0, true);
      packet.offload.gso_type = OffloadHeader::gso_none;
      return packet;
    };
    send(pending());
    --spec.ttl;
    auto ours = pending();
    ASSERT_TRUE(offload::complete_checksum(ours.bytes, ours.offload, Medium::ip));
    ASSERT_EQ(receive(), ours.bytes) << "round " << round;
  }
}

TEST_F(KernelOffloadTest, WhatWeRefuseTheKernelRefuses) {
  PacketSpec spec;
  spec.payload.resize(3000);
  const auto good = make_super_packet(spec, 1000, true);
  auto refused = [&](auto change) {
    auto bad = good;
    change(bad.offload);
    EXPECT_TRUE(wire::check_offload(bad.bytes, bad.offload, Medium::ip));
    const iovec pieces[] = {{&bad.offload, sizeof bad.offload},
                            {bad.bytes.data(), bad.bytes.size()}};
    return ::writev(wide_->fd(), pieces, 2) < 0;
  };
  EXPECT_TRUE(refused([](OffloadHeader& header) { header.gso_size = 0; }));
  EXPECT_TRUE(refused([](OffloadHeader& header) { header.gso_type = 0x17; }));
  EXPECT_TRUE(refused([](OffloadHeader& header) { header.gso_type = OffloadHeader::gso_ecn; }));
  EXPECT_TRUE(refused([](OffloadHeader& header) { header.checksum_start = 60000; }));
}

}  // namespace
}  // namespace warren
