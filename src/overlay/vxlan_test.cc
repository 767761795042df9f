#include "overlay/vxlan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "l2/testing.h"
#include "offload/segment.h"
#include "offload/testing.h"
#include "wire/traffic_class.h"
#include "wire/vxlan.h"
#include "wire/vxlan_outer.h"

namespace warren::overlay {
namespace {

using namespace std::chrono_literals;
using l2::to_mac_address;
using l2::testing::Bytes;
using l2::testing::make_frame;
using l2::testing::make_packet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t everybody = 0xffffffffffff;
constexpr std::uint64_t alice = 0x020000000001;
constexpr std::uint64_t bob = 0x020000000002;
constexpr VxlanEngine::Time start{1000h};

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }

struct Sent {
  IpAddress to;
  Bytes bytes;
  std::size_t segment_size;
  std::uint16_t source;
  const std::byte* where;
  std::uint8_t traffic_class;
};

/// One end, with what it has sent and delivered.
struct End : VxlanOutput {
  explicit End(std::size_t buffers = 128, l2::MacTable::Limits limits = {})
      : pool(Pool::create(buffers, Pool::super_packet_size).value()),
        engine(*this, *pool, frames, limits, 1) {}

  void configure(VxlanConfig config) {
    config.vni = 42;
    const auto done = engine.configure(config);
    ASSERT_TRUE(done) << done.error().message;
  }
  void peers(const std::vector<std::string>& addresses) {
    VxlanConfig config;
    for (const auto& address : addresses) config.peers.push_back(ip(address));
    configure(config);
  }
  void send(const std::vector<Bytes>& list, VxlanEngine::Time now = start) {
    Batch batch;
    for (const auto& frame : list) batch.push(make_packet(*source, frame));
    engine.send_frames(batch, now);
    EXPECT_TRUE(batch.empty());
  }
  void send_supers(const std::vector<offload::SuperPacket>& supers) {
    Batch batch;
    for (const auto& super : supers) {
      auto packet = make_packet(*source, super.bytes);
      packet.offload() = super.offload;
      batch.push(std::move(packet));
    }
    engine.send_frames(batch, start);
  }
  void send_super(const offload::SuperPacket& super) { send_supers({super}); }
  void receive(Bytes bytes, const std::string& from, std::size_t segment_size = 0,
               VxlanEngine::Time now = start, std::uint8_t traffic_class = 0) {
    const ReceivedVxlan datagram{bytes, segment_size, ip(from), traffic_class};
    engine.receive_datagrams({&datagram, 1}, now);
  }
  /// Where the frames of the last call went, without repetition.
  std::set<std::string> receivers() {
    std::set<std::string> out;
    for (const auto& datagram : sent) out.insert(datagram.to.to_string());
    sent.clear();
    return out;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> out;
    for (const auto& frame : delivered)
      out.emplace_back(reinterpret_cast<const char*>(frame.data()) + 14, frame.size() - 14);
    delivered.clear();
    return out;
  }

  void send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept override {
    EXPECT_LE(datagrams.size(), VxlanEngine::batch_datagrams);
    for (const auto& d : datagrams)
      sent.push_back({*d.to,
                      {d.bytes.begin(), d.bytes.end()},
                      d.segment_size,
                      d.source,
                      d.bytes.data(),
                      d.traffic_class});
  }
  void send_packets(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i)
      packets.push_back({Bytes(batch.bytes(i).begin(), batch.bytes(i).end()), batch.offload(i)});
    batch.clear();
  }
  void return_frames(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i)
      returned.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
    batch.clear();
  }
  void deliver_frames(std::span<const std::span<const std::byte>> list) noexcept override {
    EXPECT_LE(list.size(), VxlanEngine::batch_frames);
    for (const auto& frame : list) delivered.emplace_back(frame.begin(), frame.end());
  }

  std::unique_ptr<Pool> pool;
  std::unique_ptr<Pool> source = Pool::create(256, Pool::super_packet_size).value();
  Counters frames;
  std::vector<Sent> sent;
  std::vector<offload::SuperPacket> packets;
  std::vector<Bytes> delivered;
  std::vector<Bytes> returned;
  VxlanEngine engine;
};

/// As RFC 7348 draws it.
Bytes message(std::uint32_t vni, const Bytes& frame, unsigned flags = 0x08) {
  Bytes out;
  wire::testing::put(out, flags, 1);
  wire::testing::put(out, 0, 3);
  wire::testing::put(out, vni, 3);
  wire::testing::put(out, 0, 1);
  wire::testing::put(out, frame);
  return out;
}

TEST(VxlanTest, PutsTheHeaderInFrontOfTheFrame) {
  End end;
  end.peers({"10.0.0.2"});
  const auto frame = make_frame(bob, alice, "hello");
  end.send({frame});
  ASSERT_EQ(end.sent.size(), 1U);
  EXPECT_EQ(end.sent[0].bytes, message(42, frame));
  EXPECT_EQ(end.sent[0].to, ip("10.0.0.2"));
  EXPECT_EQ(end.sent[0].segment_size, 0U);
  EXPECT_EQ(end.frames.packets.value(), 1U);
}

TEST(VxlanTest, FloodsTheSameBytesToAllPeersUntilItKnowsBetter) {
  End end;
  end.peers({"10.0.0.2", "10.0.0.3", "fd00::4"});
  end.send({make_frame(bob, alice, "who is bob")});
  ASSERT_EQ(end.sent.size(), 3U);
  EXPECT_EQ(end.sent[0].where, end.sent[2].where);
  EXPECT_EQ(end.sent[0].bytes, end.sent[2].bytes);
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.2", "10.0.0.3", "fd00::4"));
  end.receive(message(42, make_frame(alice, bob, "I am")), "fd00::4");
  EXPECT_THAT(end.texts(), ElementsAre("I am"));
  end.send({make_frame(bob, alice, "hello")});
  EXPECT_THAT(end.receivers(), ElementsAre("fd00::4"));
  end.send({make_frame(everybody, alice, "all")});
  EXPECT_EQ(end.receivers().size(), 3U);
  end.send({make_frame(bob, alice, "much later")}, start + 10min);
  EXPECT_EQ(end.receivers().size(), 3U);
}

TEST(VxlanTest, LearnsNothingWhereItIsToldNotTo) {
  End end;
  VxlanConfig config;
  config.peers = {ip("10.0.0.2"), ip("10.0.0.3")};
  config.learning = false;
  config.addresses = {{to_mac_address(alice), ip("10.0.0.3")}};
  end.configure(config);
  end.receive(message(42, make_frame(alice, bob, "")), "10.0.0.2");
  end.receive(message(42, make_frame(bob, alice, "")), "10.0.0.2");
  end.send({make_frame(bob, 0x02, "")});
  EXPECT_EQ(end.receivers().size(), 2U);
  end.send({make_frame(alice, 0x02, "")}, start + 1000h);
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.3"));
}

TEST(VxlanTest, PeersComeAndGoWithoutTheOthers) {
  End end;
  end.peers({"10.0.0.2", "10.0.0.3"});
  end.receive(message(42, make_frame(everybody, alice, "")), "10.0.0.2");
  end.receive(message(42, make_frame(everybody, bob, "")), "10.0.0.3");
  end.peers({"10.0.0.4", "10.0.0.3"});
  end.send({make_frame(bob, 0x02, "")});
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.3"));
  end.send({make_frame(alice, 0x02, "")});
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.3", "10.0.0.4"));
  end.receive(message(42, make_frame(everybody, alice, "")), "10.0.0.2");
  EXPECT_EQ(end.engine.messages.dropped(DropReason::no_peer), 1U);
  std::vector<std::string> status;
  end.engine.for_each_peer(start, [&](const VxlanEngine::PeerStatus& peer) {
    status.push_back(fmt::format("{}: {} sent, {} received, {} known", peer.address.to_string(),
                                 peer.sent, peer.received, peer.addresses));
  });
  EXPECT_THAT(status, ElementsAre("10.0.0.4: 1 sent, 0 received, 0 known",
                                  "10.0.0.3: 2 sent, 1 received, 1 known"));
}

TEST(VxlanTest, AStaticAddressFollowsTheConfiguration) {
  End end;
  VxlanConfig config;
  config.peers = {ip("10.0.0.2"), ip("10.0.0.3")};
  config.addresses = {{to_mac_address(alice), ip("10.0.0.3")}};
  end.configure(config);
  end.receive(message(42, make_frame(everybody, alice, "")), "10.0.0.2");
  end.send({make_frame(alice, bob, "")});
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.3"));
  config.addresses[0].peer = ip("10.0.0.2");
  end.configure(config);
  end.send({make_frame(alice, bob, "")});
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.2"));
  config.addresses.clear();
  end.configure(config);
  end.send({make_frame(alice, bob, "")});
  EXPECT_EQ(end.receivers().size(), 2U);
}

TEST(VxlanTest, RefusesConfigurationsThatContradictThemselves) {
  End end(8, {.max_entries = 1, .ageing = 1min});
  end.peers({"10.0.0.9"});
  const auto refused = [&](const VxlanConfig& config) {
    const auto done = end.engine.configure(config);
    return done ? "" : done.error().message;
  };
  VxlanConfig config;
  config.vni = 1 << 24;
  EXPECT_THAT(refused(config), HasSubstr("VNI 16777216 is too large"));
  config.vni = 1;
  config.peers = {ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.2")};
  EXPECT_THAT(refused(config), HasSubstr("10.0.0.2 is there twice"));
  config.peers.pop_back();
  config.addresses = {{to_mac_address(alice), ip("10.0.0.4")}};
  EXPECT_THAT(refused(config), HasSubstr("not among the peers"));
  config.addresses = {{to_mac_address(everybody), ip("10.0.0.2")}};
  EXPECT_THAT(refused(config), HasSubstr("no single host's"));
  config.addresses = {{to_mac_address(alice), ip("10.0.0.2")},
                      {to_mac_address(bob), ip("10.0.0.2")}};
  EXPECT_THAT(refused(config), HasSubstr("more than the table of 1"));
  config.addresses.clear();
  config.peers.resize(VxlanEngine::max_peers + 1);
  EXPECT_THAT(refused(config), HasSubstr("too many"));
  end.send({make_frame(alice, bob, "")});
  EXPECT_THAT(end.receivers(), ElementsAre("10.0.0.9"));
}

TEST(VxlanTest, CountsWhatItCannotTake) {
  End end;
  end.peers({"10.0.0.2"});
  const auto frame = make_frame(alice, bob, "");
  end.receive(message(43, frame), "10.0.0.2");
  end.receive(message(42, frame, 0xf7), "10.0.0.2");
  end.receive(message(42, Bytes(13)), "10.0.0.2");
  end.receive(Bytes(7), "10.0.0.2");
  end.receive({}, "10.0.0.2");
  end.receive(message(42, make_frame(alice, everybody, "")), "10.0.0.2");
  end.receive(message(42, make_frame(alice, 0, "")), "10.0.0.2");
  end.receive(message(42, frame), "10.0.0.3");
  EXPECT_TRUE(end.delivered.empty());
  const auto& messages = end.engine.messages;
  EXPECT_EQ(messages.packets.value(), 8U);
  EXPECT_EQ(messages.dropped(DropReason::wrong_network), 1U);
  EXPECT_EQ(messages.dropped(DropReason::malformed), 4U);
  EXPECT_EQ(messages.dropped(DropReason::wrong_source), 2U);
  EXPECT_EQ(messages.dropped(DropReason::no_peer), 1U);
  // The reserved bits mean nothing.
  end.receive(message(42, frame, 0xff), "10.0.0.2");
  EXPECT_EQ(end.delivered.size(), 1U);

  end.send({Bytes(13)});
  EXPECT_EQ(end.frames.dropped(DropReason::malformed), 1U);
  end.send({Bytes(65000)});
  EXPECT_EQ(end.frames.dropped(DropReason::too_big), 1U);
  end.peers({});
  end.send({frame});
  EXPECT_EQ(end.frames.dropped(DropReason::no_peer), 1U);
}

/// The messages for one peer, in order; each datagram is one that UDP_SEGMENT takes.
std::vector<Bytes> messages_for(const std::vector<Sent>& sent, const IpAddress& peer) {
  std::vector<Bytes> messages;
  for (const auto& datagram : sent) {
    if (datagram.to != peer) continue;
    EXPECT_LE(datagram.bytes.size(), 65000U);
    const auto step = datagram.segment_size == 0 ? datagram.bytes.size() : datagram.segment_size;
    EXPECT_LE((datagram.bytes.size() + step - 1) / step, 64U);
    for (std::size_t at = 0; at < datagram.bytes.size(); at += step) {
      const auto end_at = std::min(at + step, datagram.bytes.size());
      messages.emplace_back(datagram.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                            datagram.bytes.begin() + static_cast<std::ptrdiff_t>(end_at));
    }
  }
  return messages;
}

wire::testing::PacketSpec frame_spec(std::mt19937_64& random, std::size_t payload) {
  auto spec = wire::testing::random_spec(random);
  spec.medium = Medium::ethernet;
  spec.payload = wire::testing::random_bytes(random, payload);
  return spec;
}

TEST(VxlanTest, SegmentsLieBehindEachOtherWithHeaders) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    const auto size = 1 + random() % 1400;
    End end;
    std::vector<std::string> peers = {"10.0.0.2"};
    if (random() % 2 == 0) peers.emplace_back("10.0.0.3");
    end.peers(peers);
    std::vector<offload::SuperPacket> supers;
    std::vector<Bytes> expected;
    std::uint64_t refused = 0;
    const auto common = frame_spec(random, 0);
    for (auto left = 1 + random() % 4; left > 0; --left) {
      // Often the same flow: then one datagram can take the messages of several super-packets. No
      // more UDP datagrams than a super-packet may have.
      auto spec = random() % 4 == 0 ? frame_spec(random, 0) : common;
      spec.payload = wire::testing::random_bytes(
          random, random() % 2 == 0 ? size * (1 + random() % (60000 / size % 100 + 1))
                                    : 1 + random() % std::min<std::size_t>(60000, size * 100));
      supers.push_back(
          offload::make_super_packet(spec, static_cast<std::uint16_t>(size), random() % 2 == 0));
      if (spec.tcp && size < 8)
        ++refused;
      else
        for (const auto& segment : offload::obvious_segments(spec, size))
          expected.push_back(message(42, wire::testing::build(segment)));
    }
    end.send_supers(supers);
    EXPECT_EQ(end.frames.dropped(DropReason::bad_offload), refused);
    for (const auto& peer : end.engine.config().peers)
      ASSERT_EQ(messages_for(end.sent, peer), expected);
  }
}

TEST(VxlanTest, FillsDatagramsFromSeveralFrames) {
  std::mt19937_64 random(6);
  const auto spec = [&](std::size_t payload) {
    wire::testing::PacketSpec out;
    out.medium = Medium::ethernet;
    out.payload = wire::testing::random_bytes(random, payload);
    return out;
  };
  End end;
  end.peers({"10.0.0.2"});
  const auto whole = [](const wire::testing::PacketSpec& frame) {
    return offload::SuperPacket{wire::testing::build(frame), {}};
  };
  // 45 + 45 + 1 + 1 (shorter) messages, and one that begins anew: 64 KiB take 42 of them.
  const auto first = spec(45 * 1400), second = spec(45 * 1400), third = spec(1400),
             fourth = spec(100), fifth = spec(1400);
  end.send_supers({offload::make_super_packet(first, 1400, false),
                   offload::make_super_packet(second, 1400, false), whole(third), whole(fourth),
                   whole(fifth)});
  std::vector<Bytes> expected;
  for (const auto& super : {first, second})
    for (const auto& segment : offload::obvious_segments(super, 1400))
      expected.push_back(message(42, wire::testing::build(segment)));
  for (const auto& frame : {third, fourth, fifth})
    expected.push_back(message(42, wire::testing::build(frame)));
  EXPECT_EQ(messages_for(end.sent, ip("10.0.0.2")), expected);
  EXPECT_EQ(end.sent.size(), 4U);
  end.engine.for_each_peer(start,
                           [](const VxlanEngine::PeerStatus& peer) { EXPECT_EQ(peer.sent, 93U); });
}

TEST(VxlanTest, DatagramsAreFilledForOnePeerAndOneTrafficClassOnly) {
  std::mt19937_64 random(7);
  const auto super = [&](std::uint64_t destination, std::uint8_t tos) {
    wire::testing::PacketSpec spec;
    spec.medium = Medium::ethernet;
    spec.tos = tos;
    spec.payload = wire::testing::random_bytes(random, 2800);
    auto out = offload::make_super_packet(spec, 1400, false);
    for (int i = 0; i < 6; ++i)
      out.bytes[static_cast<std::size_t>(i)] = static_cast<std::byte>(destination >> (40 - 8 * i));
    return out;
  };
  End end;
  end.peers({"10.0.0.2", "10.0.0.3"});
  end.receive(message(42, make_frame(everybody, alice, "")), "10.0.0.2");
  end.receive(message(42, make_frame(everybody, bob, "")), "10.0.0.3");
  end.send_supers({super(alice, 0), super(alice, 0)});
  EXPECT_EQ(std::exchange(end.sent, {}).size(), 1U);
  end.send_supers({super(alice, 0), super(bob, 0), super(alice, 0)});
  EXPECT_EQ(std::exchange(end.sent, {}).size(), 3U);
  end.send_supers({super(alice, 0), super(alice, 3)});
  EXPECT_EQ(std::exchange(end.sent, {}).size(), 2U);
  end.send_supers({super(everybody, 0), super(everybody, 0)});
  EXPECT_EQ(std::exchange(end.sent, {}).size(), 4U);
}

TEST(VxlanTest, MergedDatagramsAreTakenApart) {
  End end;
  end.peers({"10.0.0.2"});
  Bytes merged;
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(fmt::format("{:03}", i));
    wire::testing::put(merged, message(42, make_frame(everybody, alice, expected.back())));
  }
  end.receive(merged, "10.0.0.2", 8 + 14 + 3);
  EXPECT_EQ(end.texts(), expected);
  // The last one may be shorter, and may be nothing that anybody can use.
  merged.resize(25 * 2 + 10);
  end.receive(merged, "10.0.0.2", 25);
  EXPECT_THAT(end.texts(), ElementsAre("000", "001"));
  EXPECT_EQ(end.engine.messages.dropped(DropReason::malformed), 1U);
}

TEST(VxlanTest, FinishesChecksums) {
  End end;
  end.peers({"10.0.0.2"});
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.payload.resize(100, std::byte{3});
  auto pending = offload::make_super_packet(spec, 1, true);
  pending.offload.gso_type = OffloadHeader::gso_none;
  end.send_super(pending);
  ASSERT_EQ(end.sent.size(), 1U);
  EXPECT_EQ(end.sent[0].bytes, message(42, wire::testing::build(spec)));
}

TEST(VxlanTest, WorksWithoutRoomInFrontAndWithFewBuffers) {
  End end(1);
  end.peers({"10.0.0.2"});
  const auto frame = make_frame(bob, alice, "no room");
  const auto tight = Pool::create(Batch::capacity, 2048, 0).value();
  Batch batch;
  while (!batch.full()) batch.push(make_packet(*tight, frame));
  end.engine.send_frames(batch, start);
  EXPECT_EQ(end.frames.dropped(), 0U);
  ASSERT_EQ(end.sent.size(), Batch::capacity);
  for (const auto& datagram : end.sent) EXPECT_EQ(datagram.bytes, message(42, frame));
}

TEST(VxlanTest, AFlowKeepsItsSourcePort) {
  End end;
  VxlanConfig config;
  config.peers = {ip("10.0.0.2")};
  config.source_ports = 8;
  end.configure(config);
  std::map<std::uint16_t, int> used;
  for (std::uint16_t flow = 0; flow < 800; ++flow) {
    wire::testing::PacketSpec spec;
    spec.medium = Medium::ethernet;
    spec.source_port = flow;
    spec.payload.resize(flow % 90);
    end.send({wire::testing::build(spec)});
    spec.payload.resize(100);
    end.send({wire::testing::build(spec)});
    ASSERT_EQ(end.sent[0].source, end.sent[1].source);
    ASSERT_LT(end.sent[0].source, 8);
    ++used[end.sent[0].source];
    end.sent.clear();
  }
  EXPECT_EQ(used.size(), 8U);
  for (const auto& [source, flows] : used) EXPECT_GT(flows, 40);
}

// Ends in a full mesh, hosts behind them that move now and then, and random frames; against a list of
// who was heard where.
TEST(VxlanTest, DoesWhatAnObviousMeshDoes) {
  constexpr std::size_t count = 4;
  const auto address = [](std::size_t i) { return fmt::format("10.0.0.{}", i + 1); };
  std::vector<std::unique_ptr<End>> ends;
  for (std::size_t i = 0; i < count; ++i) {
    ends.push_back(std::make_unique<End>());
    std::vector<std::string> peers;
    for (std::size_t j = 0; j < count; ++j)
      if (j != i) peers.push_back(address(j));
    ends[i]->peers(peers);
  }
  std::vector<std::map<std::uint64_t, std::size_t>> heard(
      count);  // by each end: who is behind whom
  std::mt19937_64 random(9);
  for (int step = 0; step < 5000; ++step) {
    const auto from = random() % count;
    const auto source = alice + random() % 30;
    const auto destination = random() % 6 == 0 ? everybody : alice + random() % 30;
    std::set<std::size_t> expected;
    const auto known = heard[from].find(destination);
    for (std::size_t i = 0; i < count; ++i)
      if (i != from && (known == heard[from].end() || known->second == i)) expected.insert(i);
    const auto text = std::to_string(step);
    ends[from]->send({make_frame(destination, source, text)});
    std::set<std::size_t> reached;
    for (std::size_t i = 0; i < count; ++i)
      for (const auto& datagram : ends[from]->sent)
        if (datagram.to == ip(address(i))) {
          reached.insert(i);
          heard[i][source] = from;
          ends[i]->receive(datagram.bytes, address(from), datagram.segment_size);
          ASSERT_THAT(ends[i]->texts(), ElementsAre(text));
          ASSERT_TRUE(i == from || ends[i]->sent.empty());
        }
    ends[from]->sent.clear();
    ASSERT_EQ(reached, expected);
  }
}

// Traffic class.

wire::testing::PacketSpec frame_with_class(std::uint8_t traffic_class, bool ipv6) {
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.ipv6 = ipv6;
  spec.tos = traffic_class;
  return spec;
}

TEST(VxlanTest, OuterHeadersHaveTheMarkAndTheirOwnDscp) {
  End end;
  VxlanConfig config;
  config.peers = {ip("10.0.0.2")};
  const auto class_of = [&](std::uint8_t inner, bool ipv6) {
    end.sent.clear();
    end.send({wire::testing::build(frame_with_class(inner, ipv6))});
    return end.sent.at(0).traffic_class;
  };
  for (const bool ipv6 : {false, true}) {
    config.dscp = std::uint8_t{0};
    end.configure(config);
    EXPECT_EQ(class_of(0xba, ipv6), 0x02);
    EXPECT_EQ(class_of(0xbb, ipv6), 0x03);
    config.dscp = std::uint8_t{46};
    end.configure(config);
    EXPECT_EQ(class_of(0x21, ipv6), 0xb9);
    config.dscp.reset();
    end.configure(config);
    EXPECT_EQ(class_of(0x21, ipv6), 0x21);
  }
  end.sent.clear();
  end.send({make_frame(everybody, alice, "neither IPv4 nor IPv6")});
  EXPECT_EQ(end.sent.at(0).traffic_class, 0);
  auto super = frame_with_class(0xba, false);
  super.payload.resize(60000);
  end.sent.clear();
  end.send_super(offload::make_super_packet(super, 1000, true));
  ASSERT_LT(end.sent.size(), 3U);
  for (const auto& datagram : end.sent) EXPECT_EQ(datagram.traffic_class, 0xba);
}

TEST(VxlanTest, MarksOfTheWayComeBackInwards) {
  End end;
  end.peers({"10.0.0.2"});
  const auto capable = frame_with_class(0xba, false);
  const auto knows_none = frame_with_class(0xb8, false);
  Bytes merged = message(42, wire::testing::build(capable));
  const auto size = merged.size();
  wire::testing::put(merged, message(42, wire::testing::build(knows_none)));
  wire::testing::put(merged, message(42, wire::testing::build(capable)));
  end.receive(merged, "10.0.0.2", size, start, 0x03);
  const auto marked = wire::testing::build(frame_with_class(0xbb, false));
  EXPECT_THAT(end.delivered, ElementsAre(marked, marked));
  EXPECT_EQ(end.engine.messages.dropped(DropReason::congested), 1U);
}

// As whole IP packets.

/// The messages that a packet or super-packet of this end stands for, unwrapped.
std::vector<Bytes> messages_in(const offload::SuperPacket& packet, const std::string& from) {
  std::vector<Bytes> out;
  const auto take = [&](Bytes bytes) {
    const auto message = wire::unwrap_vxlan(bytes);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->from, ip(from));
    out.emplace_back(message->bytes.begin(), message->bytes.end());
  };
  if (!packet.offload.is_super_packet()) {
    EXPECT_TRUE(packet.offload.complete());
    take(packet.bytes);
    return out;
  }
  const auto plan = offload::SegmentPlan::make(packet.bytes, packet.offload, Medium::ip);
  EXPECT_TRUE(plan.has_value());
  for (std::size_t i = 0; plan && i < plan->count(); ++i) {
    Bytes bytes(plan->segment_size(i));
    plan->write_segment(i, bytes.data());
    take(bytes);
  }
  return out;
}

VxlanConfig as_packets(const std::string& from, const std::vector<std::string>& peers) {
  VxlanConfig config;
  config.packets = {ip(from), 4789};
  for (const auto& peer : peers) config.peers.push_back(ip(peer));
  return config;
}

TEST(VxlanPackets, EveryPeerGetsItsOwn) {
  for (const bool ipv6 : {false, true}) {
    const std::vector<std::string> peers = ipv6 ? std::vector<std::string>{"fd00::2", "fd00::3"}
                                                : std::vector<std::string>{"10.0.0.2", "10.0.0.3"};
    const auto from = ipv6 ? "fd00::1" : "10.0.0.1";
    End end;
    end.configure(as_packets(from, peers));
    const auto frame = make_frame(everybody, alice, "who is there");
    end.send({frame});
    EXPECT_TRUE(end.sent.empty());
    ASSERT_EQ(end.packets.size(), 2U);
    const auto at = ipv6 ? 24U : 16U;
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_THAT(messages_in(end.packets[i], from), ElementsAre(message(42, frame)));
      const auto peer = ip(peers[i]);
      const auto to = std::as_bytes(std::span(peer.bytes)).first(ipv6 ? 16 : 4);
      EXPECT_TRUE(std::ranges::equal(to, std::span(end.packets[i].bytes).subspan(at, to.size())));
    }
  }
}

TEST(VxlanPackets, SuperPacketsStayWholeAndMeanTheSameFrames) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    auto spec = wire::testing::random_spec(random);
    spec.medium = Medium::ethernet;
    const std::size_t mss = 100 + random() % 1400;
    spec.payload = wire::testing::random_bytes(random, 1 + random() % (mss * 40));
    const auto super = offload::make_super_packet(spec, static_cast<std::uint16_t>(mss), true);
    const bool ipv6 = random() % 2 == 0;
    const auto* from = ipv6 ? "fd00::1" : "10.0.0.1";
    End end;
    end.configure(as_packets(from, {ipv6 ? "fd00::2" : "10.0.0.2"}));
    end.send_super(super);
    std::vector<Bytes> expected;
    for (const auto& segment : offload::obvious_segments(spec, mss))
      expected.push_back(message(42, wire::testing::build(segment)));
    ASSERT_EQ(end.packets.size(), 1U);
    ASSERT_EQ(messages_in(end.packets[0], from), expected) << "case " << i;
  }
}

TEST(VxlanPackets, TheOuterHeaderHasTheMarkOfTheInnerOne) {
  for (const bool ipv6 : {false, true}) {
    End end;
    auto config = as_packets(ipv6 ? "fd00::1" : "10.0.0.1", {ipv6 ? "fd00::2" : "10.0.0.2"});
    const auto class_of = [&](std::uint8_t inner, bool super) {
      auto spec = frame_with_class(inner, !ipv6);
      spec.payload.resize(5000);
      const auto packet = offload::make_super_packet(spec, 1000, true);
      if (super)
        end.send_super(packet);
      else
        end.send({wire::testing::build(spec)});
      return wire::traffic_class_of(end.packets.back().bytes, Medium::ip);
    };
    end.configure(config);
    for (const bool super : {false, true}) {
      EXPECT_EQ(class_of(0xba, super), 0x02);
      EXPECT_EQ(class_of(0xbb, super), 0x03);
    }
    config.dscp.reset();
    end.configure(config);
    for (const bool super : {false, true}) EXPECT_EQ(class_of(0xba, super), 0xba);
    // Each segment has it.
    for (auto bytes : messages_in(end.packets.back(), config.packets->from.to_string()))
      EXPECT_EQ(wire::traffic_class_of(std::span(bytes).subspan(8), Medium::ethernet), 0xba);
  }
}

TEST(VxlanPackets, FamiliesAreNotMixed) {
  End end;
  auto config = as_packets("10.0.0.1", {"fd00::2"});
  const auto done = end.engine.configure(config);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("fd00::2 is not of the family of 10.0.0.1"));
}

}  // namespace
}  // namespace warren::overlay
