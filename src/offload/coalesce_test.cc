#include "offload/coalesce.h"

#include <gtest/gtest.h>

#include <memory>

#include "offload/segment.h"
#include "offload/testing.h"

namespace warren::offload {
namespace {

using namespace wire::testing;  // NOLINT

struct Sent {
  PacketSpec spec;
  bool corrupt = false;
  Bytes bytes;
  OffloadHeader offload;

  explicit Sent(PacketSpec s) : spec(std::move(s)), bytes(build(spec)) {}
};

struct Output {
  OffloadHeader offload;
  Bytes bytes;
  std::size_t packets;
};

std::vector<Output> coalesce(const std::vector<Sent>& sent, const CoalesceOptions& options) {
  auto coalescer = std::make_unique<Coalescer>(options);
  for (const auto& packet : sent) EXPECT_TRUE(coalescer->add(packet.bytes, packet.offload));
  std::vector<Output> out;
  for (const auto& item : coalescer->finish()) {
    out.push_back({item.offload, flatten(item.pieces()), item.packets});
    EXPECT_EQ(out.back().bytes.size(), item.size);
    const auto with_header = flatten(item.pieces_with_offload());
    EXPECT_EQ(std::memcmp(with_header.data(), &item.offload, sizeof item.offload), 0);
    EXPECT_EQ(with_header.size(), item.size + sizeof item.offload);
  }
  return out;
}

// --- The oracle: packets as descriptions, every rule spelled out. ---

bool same_flow(const PacketSpec& a, const PacketSpec& b) {
  return a.ipv6 == b.ipv6 && a.tcp == b.tcp && a.source_host == b.source_host &&
         a.destination_host == b.destination_host && a.source_port == b.source_port &&
         a.destination_port == b.destination_port;
}

bool can_begin(const Sent& sent) {
  const auto& s = sent.spec;
  if (s.payload.empty() || !s.ip_options.empty() ||
      s.header_length() > Coalescer::max_header_length)
    return false;
  return s.tcp ? (s.flags & 0x27) == 0 : s.udp_checksum;
}

bool follows(const std::vector<const Sent*>& group, const Sent& sent) {
  const auto& a = group.front()->spec;
  const auto& last = group.back()->spec;
  const auto& b = sent.spec;
  if (!can_begin(*group.front()) || !can_begin(sent)) return false;
  if ((a.medium == Medium::ethernet && a.vlan_tags != b.vlan_tags) || a.tos != b.tos ||
      a.ttl != b.ttl) {
    return false;
  }
  if (b.payload.size() > a.payload.size() || last.payload.size() < a.payload.size()) return false;
  if (a.tcp && a.payload.size() < 8) return false;
  std::size_t total = b.payload.size() + b.header_length();
  for (const auto* each : group) total += each->spec.payload.size();
  if (b.medium == Medium::ethernet) total -= 14 + 4 * b.vlan_tags;
  if (total > 65535) return false;
  if (a.ipv6) {
    if (a.flow_label != b.flow_label || a.extensions != b.extensions ||
        a.first_extension != b.first_extension) {
      return false;
    }
  } else {
    if (a.dont_fragment != b.dont_fragment) return false;
    const bool grows = b.id == static_cast<std::uint16_t>(last.id + 1);
    const bool fixed = b.id == last.id && b.dont_fragment;
    const bool grew = group.size() > 1 && group[1]->spec.id != a.id;
    const bool stayed = group.size() > 1 && group[1]->spec.id == a.id;
    if (!((grows && !stayed) || (fixed && !grew))) return false;
  }
  if (!a.tcp) return group.size() < 64;
  return b.sequence == last.sequence + last.payload.size() &&
         a.acknowledgment == b.acknowledgment && a.window == b.window &&
         a.tcp_options == b.tcp_options && (a.flags & 0x77) == (b.flags & 0x77) &&
         (b.flags & 0x80) == 0 && (last.flags & 0x08) == 0;
}

std::vector<std::vector<const Sent*>> obvious_groups(const std::vector<Sent>& sent) {
  std::vector<std::vector<const Sent*>> groups;
  for (const auto& packet : sent) {
    std::vector<const Sent*>* newest = nullptr;
    for (auto& group : groups) {
      if (same_flow(group.front()->spec, packet.spec)) newest = &group;
    }
    const bool corrupt = packet.corrupt || (newest != nullptr && newest->back()->corrupt);
    if (newest != nullptr && !corrupt && follows(*newest, packet)) {
      newest->push_back(&packet);
    } else {
      groups.push_back({&packet});
    }
  }
  return groups;
}

Output obvious_output(const std::vector<const Sent*>& group) {
  if (group.size() == 1) return {group.front()->offload, group.front()->bytes, 1};
  auto spec = group.front()->spec;
  const auto mss = spec.payload.size();
  spec.payload.clear();
  for (const auto* each : group) put(spec.payload, each->spec.payload);
  if (spec.tcp)
    spec.flags = static_cast<std::uint8_t>(spec.flags | (group.back()->spec.flags & 0x08));
  auto super = make_super_packet(spec, static_cast<std::uint16_t>(mss), true);
  super.offload.header_length = static_cast<std::uint16_t>(spec.header_length());
  return {super.offload, super.bytes, group.size()};
}

void expect_as_obvious(const std::vector<Sent>& sent, const CoalesceOptions& options, int round) {
  const auto outputs = coalesce(sent, options);
  const auto groups = obvious_groups(sent);
  ASSERT_EQ(outputs.size(), groups.size()) << "round " << round;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto expected = obvious_output(groups[i]);
    ASSERT_EQ(outputs[i].packets, expected.packets) << "round " << round << " item " << i;
    ASSERT_EQ(outputs[i].offload, expected.offload) << "round " << round << " item " << i;
    ASSERT_EQ(outputs[i].bytes, expected.bytes) << "round " << round << " item " << i;
  }
}

// --- Random traffic: a few flows, most packets in sequence, now and then something that ends a
// group. ---

PacketSpec random_flow(Random& random, Medium medium) {
  auto spec = random_spec(random);
  spec.medium = medium;
  spec.vlan_tags = spec.vlan_tags == 2 ? 1 : 0;
  if (random() % 4 != 0) spec.ip_options.clear();
  spec.flags = random() % 8 == 0 ? 0xd0 : 0x10;
  // Few hosts and ports, so that flows resemble each other.
  spec.source_host = static_cast<std::uint32_t>(random() % 2);
  spec.destination_host = static_cast<std::uint32_t>(random() % 2);
  spec.source_port = static_cast<std::uint16_t>(random() % 3);
  return spec;
}

void disturb(Random& random, PacketSpec& spec) {
  switch (random() % 16) {
    case 0:
      spec.ttl++;
      break;
    case 1:
      spec.tos++;
      break;
    case 2:
      spec.id = static_cast<std::uint16_t>(spec.id + random() % 3);
      break;
    case 3:
      spec.dont_fragment = !spec.dont_fragment;
      break;
    case 4:
      spec.flow_label ^= 1;
      break;
    case 5:
      spec.sequence += static_cast<std::uint32_t>(random() % 2000) - 1000;
      break;
    case 6:
      spec.acknowledgment++;
      break;
    case 7:
      spec.window++;
      break;
    case 8:
      spec.flags = static_cast<std::uint8_t>(random());
      break;
    case 9:
      spec.tcp_options = random_bytes(random, 4 * (random() % 4));
      break;
    case 10:
      spec.payload.clear();
      break;
    case 11:
      spec.payload.push_back(std::byte{1});
      break;
    case 12:
      spec.udp_checksum = false;
      break;
    case 13:
      spec.vlan_tags ^= 1;
      break;
    case 14:
      spec.flags = static_cast<std::uint8_t>(spec.flags | 0x08);
      break;
    default:
      if (!spec.payload.empty()) spec.payload.pop_back();
  }
}

std::vector<Sent> random_traffic(Random& random, Medium medium) {
  std::vector<PacketSpec> flows(1 + random() % 6);
  std::vector<std::size_t> sizes;
  std::vector<bool> fixed_id;
  for (auto& flow : flows) {
    flow = random_flow(random, medium);
    sizes.push_back(random() % 8 == 0 ? 1 + random() % 9000 : 1 + random() % 200);
    fixed_id.push_back(random() % 4 == 0);
  }
  const auto calm = 1 + random() % 60;
  const auto count = 1 + random() % Coalescer::max_packets;
  std::vector<Sent> sent;
  for (std::size_t i = 0, flow = 0; i < count; ++i) {
    if (random() % 4 == 0) flow = random() % flows.size();
    auto& next = flows[flow];
    auto spec = next;
    spec.payload = random_bytes(random, sizes[flow]);
    if (random() % calm == 0) disturb(random, spec);
    next.sequence = spec.sequence + static_cast<std::uint32_t>(spec.payload.size());
    next.id = static_cast<std::uint16_t>(spec.id + (fixed_id[flow] ? 0 : 1));
    next.flags = static_cast<std::uint8_t>(next.flags & ~0x80);
    sent.emplace_back(spec);
    if (random() % (4 * calm) == 0) {
      auto& packet = sent.back();
      const auto at =
          packet.spec.l4() + (packet.spec.tcp ? 20 : 8) + packet.spec.tcp_options.size();
      if (at < packet.bytes.size()) {
        packet.bytes[at + random() % (packet.bytes.size() - at)] ^= std::byte{0x10};
        packet.corrupt = packet.spec.tcp || packet.spec.udp_checksum;
      }
    }
  }
  return sent;
}

TEST(Coalesce, RandomTrafficAgreesWithTheOracle) {
  Random random(1);
  for (int round = 0; round < 1500; ++round) {
    const auto medium = round % 3 == 0 ? Medium::ethernet : Medium::ip;
    expect_as_obvious(random_traffic(random, medium), {.medium = medium}, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Coalesce, SegmentsOfWhatWasCoalescedAreThePacketsThatWentIn) {
  Random random(2);
  std::size_t merged = 0;
  for (int round = 0; round < 500; ++round) {
    const auto traffic = random_traffic(random, Medium::ip);
    const auto outputs = coalesce(traffic, {});
    const auto groups = obvious_groups(traffic);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].packets == 1) continue;
      ++merged;
      const auto plan = SegmentPlan::make(outputs[i].bytes, outputs[i].offload, Medium::ip);
      ASSERT_TRUE(plan);
      ASSERT_EQ(plan->count(), groups[i].size());
      const bool fixed_id =
          !groups[i][0]->spec.ipv6 && groups[i][1]->spec.id == groups[i][0]->spec.id;
      for (std::size_t k = 0; k < plan->count(); ++k) {
        Bytes bytes(plan->segment_size(k));
        plan->write_segment(k, bytes.data());
        auto expected = groups[i][k]->spec;
        // An OffloadHeader cannot say that the id is fixed; with DF it means nothing (RFC 6864).
        if (fixed_id) expected.id = static_cast<std::uint16_t>(expected.id + k);
        ASSERT_EQ(bytes, build(expected));
      }
    }
  }
  EXPECT_GT(merged, 1000U);
}

TEST(Coalesce, CoalescedSegmentsAreTheSuperPacket) {
  Random random(3);
  for (int round = 0; round < 1000; ++round) {
    auto spec = random_spec(random);
    spec.ip_options.clear();
    spec.flags = static_cast<std::uint8_t>(spec.flags & ~0x27);
    if (spec.header_length() > Coalescer::max_header_length) continue;
    const auto mss = 8 + random() % 1500;
    const auto headers = spec.header_length();
    const auto most =
        std::min(mss * (spec.tcp ? Coalescer::max_packets : 64), std::size_t{65535} - headers);
    spec.payload = random_bytes(random, mss + 1 + random() % (most - mss));
    auto super = make_super_packet(spec, static_cast<std::uint16_t>(mss), true);
    super.offload.header_length = static_cast<std::uint16_t>(headers);
    std::vector<Sent> sent;
    for (const auto& part : obvious_segments(spec, mss)) sent.emplace_back(part);
    const auto outputs = coalesce(sent, {.medium = spec.medium});
    ASSERT_EQ(outputs.size(), 1U);
    ASSERT_EQ(outputs[0].bytes, super.bytes);
    ASSERT_EQ(outputs[0].offload, super.offload);
  }
}

std::vector<Sent> bulk(std::size_t count, bool tcp, std::size_t size = 100) {
  PacketSpec spec;
  spec.tcp = tcp;
  std::vector<Sent> sent;
  for (std::size_t i = 0; i < count; ++i) {
    spec.payload.assign(size, static_cast<std::byte>(i));
    sent.emplace_back(spec);
    spec.sequence += static_cast<std::uint32_t>(size);
    spec.id++;
  }
  return sent;
}

TEST(Coalesce, SaysWhenItIsFullAndStartsAgain) {
  const auto sent = bulk(Coalescer::max_packets + 1, true);
  auto coalescer = std::make_unique<Coalescer>(CoalesceOptions{});
  for (std::size_t i = 0; i < Coalescer::max_packets; ++i)
    EXPECT_TRUE(coalescer->add(sent[i].bytes, {}));
  EXPECT_FALSE(coalescer->add(sent.back().bytes, {}));
  EXPECT_EQ(coalescer->held(), Coalescer::max_packets);
  auto items = coalescer->finish();
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].packets, Coalescer::max_packets);
  EXPECT_EQ(coalescer->held(), 0U);
  EXPECT_TRUE(coalescer->finish().empty());
  EXPECT_TRUE(coalescer->add(sent.back().bytes, {}));
  items = coalescer->finish();
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(flatten(items[0].pieces()), sent.back().bytes);
}

TEST(Coalesce, NeverMoreThan65535BytesOfIp) {
  const auto outputs = coalesce(bulk(100, true, 1448), {});
  ASSERT_EQ(outputs.size(), 3U);
  EXPECT_EQ(outputs[0].packets, 45U);
  EXPECT_EQ(outputs[0].bytes.size(), 40U + 45 * 1448);
  EXPECT_EQ(coalesce(bulk(65, false), {}).size(), 2U) << "64 datagrams";
}

TEST(Coalesce, WhatTheConsumerDoesNotTakeStaysSingle) {
  EXPECT_EQ(coalesce(bulk(4, true), {.tcp4 = false}).size(), 4U);
  EXPECT_EQ(coalesce(bulk(4, false), {.udp = false}).size(), 4U);
}

TEST(Coalesce, CorruptIpv4HeaderIsNotLaundered) {
  auto sent = bulk(4, true);
  sent[1].bytes[10] ^= std::byte{1};
  const auto outputs = coalesce(sent, {});
  ASSERT_EQ(outputs.size(), 3U);
  EXPECT_EQ(outputs[0].bytes, sent[0].bytes);
  EXPECT_EQ(outputs[1].bytes, sent[1].bytes);
  EXPECT_EQ(outputs[2].packets, 2U);
}

TEST(Coalesce, TrustIsOnlyForThoseWhoAskForIt) {
  auto sent = bulk(4, true);
  for (auto& packet : sent) {
    packet.bytes.back() ^= std::byte{1};
    packet.offload.flags = OffloadHeader::checksum_valid;
  }
  EXPECT_EQ(coalesce(sent, {}).size(), 4U);
  EXPECT_EQ(coalesce(sent, {.trust_checksums = true}).size(), 1U);
}

TEST(Coalesce, PendingChecksumsAreMergedOnlyWhenTrusted) {
  const auto complete = bulk(4, true);
  std::vector<Sent> sent = complete;
  for (auto& packet : sent) {
    auto pending = make_super_packet(packet.spec, 1, true);
    pending.offload.gso_type = OffloadHeader::gso_none;
    pending.offload.gso_size = 0;
    packet.bytes = pending.bytes;
    packet.offload = pending.offload;
  }
  EXPECT_EQ(coalesce(sent, {}).size(), 4U);
  const auto outputs = coalesce(sent, {.trust_checksums = true});
  ASSERT_EQ(outputs.size(), 1U);
  EXPECT_EQ(outputs[0].bytes, coalesce(complete, {})[0].bytes);

  sent[2].bytes[36] ^= std::byte{1};  // not the pseudo-header's sum
  EXPECT_EQ(coalesce(sent, {.trust_checksums = true}).size(), 3U);
  sent[2] = Sent(sent[2].spec);
  sent[2].offload.flags = OffloadHeader::needs_checksum;  // with a wrong place
  EXPECT_EQ(coalesce(sent, {.trust_checksums = true}).size(), 3U);
}

TEST(Coalesce, FragmentsAreNotOvertaken) {
  auto sent = bulk(5, false);
  sent[2].bytes[6] = std::byte{0x00};
  sent[2].bytes[7] = std::byte{0x10};  // a later fragment: no ports
  const auto outputs = coalesce(sent, {});
  ASSERT_EQ(outputs.size(), 3U);
  EXPECT_EQ(outputs[0].packets, 2U);
  EXPECT_EQ(outputs[1].bytes, sent[2].bytes);
  EXPECT_EQ(outputs[2].packets, 2U);
}

TEST(Coalesce, SuperPacketsAndStrangersPassUntouchedInOrder) {
  auto sent = bulk(4, true);
  sent[1].offload = make_super_packet(sent[1].spec, 50, false).offload;
  sent[2].bytes.assign(30, std::byte{0x99});
  sent[3].bytes.clear();
  const auto outputs = coalesce(sent, {});
  ASSERT_EQ(outputs.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(outputs[i].bytes, sent[i].bytes);
    EXPECT_EQ(outputs[i].offload, sent[i].offload);
  }
}

TEST(Coalesce, CopiesIntoAPacketThatIsLargeEnough) {
  const auto sent = bulk(20, true, 1000);
  auto coalescer = std::make_unique<Coalescer>(CoalesceOptions{});
  for (const auto& packet : sent) EXPECT_TRUE(coalescer->add(packet.bytes, {}));
  const auto items = coalescer->finish();
  ASSERT_EQ(items.size(), 1U);
  auto pool = std::move(*Pool::create(1, Pool::super_packet_size));
  auto packet = pool->allocate();
  ASSERT_TRUE(items[0].copy_to(packet));
  EXPECT_EQ(Bytes(packet.bytes().begin(), packet.bytes().end()), flatten(items[0].pieces()));
  EXPECT_EQ(packet.offload(), items[0].offload);
  auto small = std::move(*Pool::create(1, 1000));
  auto little = small->allocate();
  EXPECT_FALSE(items[0].copy_to(little));
}

}  // namespace
}  // namespace warren::offload
