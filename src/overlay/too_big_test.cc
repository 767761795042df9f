// What the engine answers, against answers built byte by byte.
#include "overlay/too_big.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "l2/testing.h"
#include "offload/testing.h"
#include "overlay/vxlan.h"
#include "wire/checksum.h"
#include "wire/testing.h"

namespace warren::overlay {
namespace {

using wire::testing::Bytes;
using wire::testing::PacketSpec;
using wire::testing::put;

constexpr VxlanEngine::Time start{std::chrono::hours(1000)};
constexpr std::size_t way = 1420;

struct End : VxlanOutput {
  void send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept override {
    sent += datagrams.size();
  }
  void send_packets(Batch& batch) noexcept override {
    sent += batch.size();
    batch.clear();
  }
  void return_frames(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i)
      returned.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
    batch.clear();
  }
  void deliver_frames(std::span<const std::span<const std::byte>>) noexcept override {}

  void configure(bool ipv6, bool carries_large) {
    VxlanConfig config;
    config.vni = 42;
    config.peers = {IpAddress::parse(ipv6 ? "fd00::2" : "10.0.0.2").value()};
    config.carries_large = carries_large;
    ASSERT_TRUE(engine.configure(config));
    engine.set_way_mtu(way);
  }
  /// Bob, the destination of frames, is heard behind the peer.
  void hear(const PacketSpec& spec, bool ipv6) {
    const auto frame = wire::testing::build(spec);
    Bytes message;
    put(message, 0x08000000'00002a00U, 8);
    message.insert(message.end(), frame.begin() + 6, frame.begin() + 12);
    message.insert(message.end(), frame.begin(), frame.begin() + 6);
    put(message, 0x88b5, 2);
    const ReceivedVxlan datagram{message, 0,
                                 IpAddress::parse(ipv6 ? "fd00::2" : "10.0.0.2").value()};
    engine.receive_datagrams({&datagram, 1}, start);
  }
  void send(const Bytes& bytes, const OffloadHeader& offload = {}, VxlanEngine::Time now = start) {
    Batch batch;
    auto packet = l2::testing::make_packet(*source, bytes);
    packet.offload() = offload;
    batch.push(std::move(packet));
    engine.send_frames(batch, now);
  }

  std::unique_ptr<Pool> pool = Pool::create(128, Pool::super_packet_size).value();
  std::unique_ptr<Pool> source = Pool::create(128, Pool::super_packet_size).value();
  Counters frames;
  std::size_t sent = 0;
  std::vector<Bytes> returned;
  VxlanEngine engine{*this, *pool, frames, {}, 1};
};

PacketSpec frame_of(std::size_t payload, bool ipv6 = false, unsigned tags = 0) {
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.ipv6 = ipv6;
  spec.vlan_tags = tags;
  spec.payload.resize(payload, std::byte{0x5a});
  return spec;
}

/// What is to be said about a frame, with checksums computed the obvious way.
Bytes expected_answer(const PacketSpec& spec, const Bytes& frame, std::size_t mtu) {
  const std::size_t l3 = 14 + 4 * spec.vlan_tags;
  const auto quoted = std::min<std::size_t>(frame.size() - l3, spec.ipv6 ? 1232 : 548);
  Bytes icmp;
  put(icmp, spec.ipv6 ? 0x0200 : 0x0304, 2);
  put(icmp, 0, 2);
  put(icmp, mtu, 4);
  icmp.insert(icmp.end(), frame.begin() + static_cast<std::ptrdiff_t>(l3),
              frame.begin() + static_cast<std::ptrdiff_t>(l3 + quoted));
  const auto address = [&](std::size_t at, std::size_t size) {
    const auto* begin = frame.data() + l3 + at;
    return Bytes(begin, begin + size);
  };
  Bytes ip;
  if (spec.ipv6) {
    Bytes pseudo;
    put(pseudo, address(24, 16));
    put(pseudo, address(8, 16));
    put(pseudo, icmp.size(), 4);
    put(pseudo, 58, 4);
    put(pseudo, icmp);
    const auto sum = wire::testing::obvious_checksum(pseudo);
    icmp[2] = std::byte(sum >> 8);
    icmp[3] = std::byte(sum & 0xff);
    put(ip, 0x60000000, 4);
    put(ip, icmp.size(), 2);
    put(ip, 58 << 8 | 64, 2);
    put(ip, address(24, 16));
    put(ip, address(8, 16));
  } else {
    const auto sum = wire::testing::obvious_checksum(icmp);
    icmp[2] = std::byte(sum >> 8);
    icmp[3] = std::byte(sum & 0xff);
    put(ip, 0x4500, 2);
    put(ip, 20 + icmp.size(), 2);
    put(ip, 0x00004000, 4);
    put(ip, 64 << 8 | 1, 2);
    put(ip, 0, 2);
    put(ip, address(16, 4));
    put(ip, address(12, 4));
    const auto header = wire::testing::obvious_checksum(ip);
    ip[10] = std::byte(header >> 8);
    ip[11] = std::byte(header & 0xff);
  }
  Bytes out(frame.begin() + 6, frame.begin() + 12);
  out.insert(out.end(), frame.begin(), frame.begin() + 6);
  out.insert(out.end(), frame.begin() + 12, frame.begin() + static_cast<std::ptrdiff_t>(l3));
  put(out, ip);
  put(out, icmp);
  return out;
}

TEST(TooBig, TheSenderIsToldWhatFits) {
  for (const bool outer6 : {false, true})
    for (const bool ipv6 : {false, true})
      for (unsigned tags = 0; tags < 3; ++tags) {
        End end;
        end.configure(outer6, false);
        const auto mtu = way - (outer6 ? 56 : 36) - 14 - 4 * tags;
        auto fits = frame_of(mtu - (ipv6 ? 60 : 40), ipv6, tags);
        end.hear(fits, outer6);
        end.send(wire::testing::build(fits));
        EXPECT_EQ(end.sent, 1U);
        EXPECT_TRUE(end.returned.empty());
        fits.payload.push_back(std::byte{1});
        const auto frame = wire::testing::build(fits);
        end.send(frame);
        EXPECT_EQ(end.sent, 1U);
        ASSERT_EQ(end.returned.size(), 1U);
        EXPECT_EQ(end.returned[0], expected_answer(fits, frame, mtu));
        EXPECT_EQ(end.frames.dropped(DropReason::too_big), 1U);
        EXPECT_EQ(end.engine.too_large(), 1U);
        EXPECT_EQ(end.engine.answers(), 1U);
      }
}

TEST(TooBig, OfASuperPacketItsFirstSegmentIsQuoted) {
  auto spec = frame_of(14480);
  const auto super = offload::make_super_packet(spec, 1448, true);
  End end;
  end.configure(false, false);
  end.hear(spec, false);
  end.send(super.bytes, super.offload);
  EXPECT_EQ(end.sent, 0U);
  ASSERT_EQ(end.returned.size(), 1U);
  const auto first = wire::testing::build(offload::obvious_segments(spec, 1448).at(0));
  EXPECT_EQ(end.returned[0], expected_answer(spec, first, 1370));
  // One whose segments fit is none of it.
  const auto narrow = offload::make_super_packet(spec, 1330, true);
  end.send(narrow.bytes, narrow.offload);
  EXPECT_EQ(end.returned.size(), 1U);
  EXPECT_GT(end.sent, 0U);
}

TEST(TooBig, WhereTheSegmentPromisedToCarryItDoes) {
  End end;
  end.configure(false, true);
  const auto spec = frame_of(1460);
  end.hear(spec, false);
  end.send(wire::testing::build(spec));
  EXPECT_EQ(end.sent, 1U);
  EXPECT_EQ(end.returned.size(), 1U);
  EXPECT_EQ(end.frames.dropped(), 0U);
}

TEST(TooBig, NobodyIsToldWhereItWouldBeWrong) {
  const auto not_told = [](const PacketSpec& spec, bool heard = true, std::size_t mtu = way) {
    End end;
    end.configure(false, false);
    end.engine.set_way_mtu(mtu);
    if (heard) end.hear(spec, false);
    end.send(wire::testing::build(spec));
    EXPECT_EQ(end.sent, 1U);
    return end.returned.empty();
  };
  const auto large = frame_of(1460);
  EXPECT_TRUE(not_told(large, false)) << "it may be for somebody on this side";
  EXPECT_TRUE(not_told(large, true, 0)) << "what fits is not known";
  EXPECT_TRUE(not_told(large, true, 576 + 49));
  EXPECT_TRUE(not_told(frame_of(1440, true), true, 1280 + 49));
  auto may_be_fragmented = large;
  may_be_fragmented.dont_fragment = false;
  EXPECT_TRUE(not_told(may_be_fragmented));
}

TEST(TooBig, AnswersAreFewWhereNobodyListens) {
  End end;
  end.configure(false, false);
  const auto spec = frame_of(1460);
  const auto frame = wire::testing::build(spec);
  end.hear(spec, false);
  for (int i = 0; i < 1000; ++i) end.send(frame);
  EXPECT_EQ(end.returned.size(), 33U);
  EXPECT_EQ(end.frames.dropped(DropReason::too_big), 1000U);
  end.send(frame, {}, start + std::chrono::seconds(1));
  EXPECT_EQ(end.returned.size(), 34U);
}

}  // namespace
}  // namespace warren::overlay
