#include "l2/switch_node.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "core/graph.h"
#include "core/memory_node.h"
#include "l2/testing.h"
#include "offload/segmenting_sink.h"
#include "offload/testing.h"

namespace warren::l2 {
namespace {

using namespace std::chrono_literals;
using testing::Bytes;
using testing::bytes_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_frame;
using testing::make_packet;

constexpr std::uint64_t everybody = 0xffffffffffff;
constexpr std::uint64_t alice = 0x020000000001;
constexpr std::uint64_t bob = 0x020000000002;
constexpr auto whole = Capabilities::super_packets(Medium::ethernet);

/// A switch "lan" whose port X is linked to the memory node "hX".
class SwitchTest : public ::testing::Test {
 protected:
  // Copies are of the switch's pool, and must not outlive it.
  void TearDown() override {
    for (auto* candidate : graph_.nodes())
      if (candidate->kind() == "memory") static_cast<MemoryNode*>(candidate)->arrived().clear();
  }
  void start(SwitchSettings settings, const std::map<std::string, Capabilities>& takes = {}) {
    GraphSpec spec;
    for (const auto& port : settings.ports) {
      const auto found = takes.find(port);
      const auto& capabilities = found == takes.end() ? whole : found->second;
      spec.nodes.push_back({"h" + port, std::make_shared<MemoryNodeConfig>(capabilities)});
      spec.links.push_back({"h" + port, "lan." + port});
    }
    spec.nodes.push_back({"lan", std::make_shared<SwitchNodeConfig>(std::move(settings))});
    const auto applied = graph_.apply(spec);
    ASSERT_TRUE(applied) << applied.error().message;
  }
  Node& node(const std::string& name) {
    for (auto* candidate : graph_.nodes())
      if (candidate->name() == name) return *candidate;
    throw std::runtime_error("no node " + name);
  }
  MemoryNode& host(const std::string& port) { return static_cast<MemoryNode&>(node("h" + port)); }
  Port& port(const std::string& name) {
    for (auto* candidate : node("lan").ports())
      if (candidate->name() == name) return *candidate;
    throw std::runtime_error("no port " + name);
  }
  void send(const std::string& from, const std::vector<Bytes>& frames) {
    Batch batch;
    for (const auto& frame : frames) batch.push(make_packet(*pool_, frame));
    host(from).inject(batch);
    EXPECT_TRUE(batch.empty());
  }
  /// What has arrived since the last time, as texts behind the headers.
  std::vector<std::string> arrived(const std::string& at) {
    std::vector<std::string> texts;
    for (const auto& packet : host(at).arrived()) {
      const auto bytes = packet.bytes().subspan(14);
      texts.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    host(at).arrived().clear();
    return texts;
  }
  std::string detail(const std::string& name) {
    for (const auto& [key, value] : node("lan").details())
      if (key == name) return value;
    return "no such detail";
  }

  std::unique_ptr<Loop> loop_ = std::move(*Loop::create(Loop::Backend::epoll));
  std::unique_ptr<Pool> pool_ = std::move(*Pool::create(4096, Pool::super_packet_size));
  Graph graph_{*loop_, offload::SegmentingSink::between};
};

TEST_F(SwitchTest, FloodsWhatItDoesNotKnowAndLearnsTheRest) {
  start({.ports = {"a", "b", "c"}});
  send("a", {make_frame(bob, alice, "who is bob")});
  EXPECT_THAT(arrived("b"), ElementsAre("who is bob"));
  EXPECT_THAT(arrived("c"), ElementsAre("who is bob"));
  EXPECT_THAT(arrived("a"), ElementsAre());
  send("b", {make_frame(alice, bob, "I am")});
  EXPECT_THAT(arrived("a"), ElementsAre("I am"));
  EXPECT_THAT(arrived("c"), ElementsAre());
  send("a", {make_frame(bob, alice, "hello"), make_frame(everybody, alice, "all")});
  EXPECT_THAT(arrived("b"), ElementsAre("hello", "all"));
  EXPECT_THAT(arrived("c"), ElementsAre("all"));
  EXPECT_EQ(detail("addresses"), "2 of 4096");
  EXPECT_EQ(detail("behind a"), "1");
  EXPECT_EQ(detail("flooded"), "2");
  EXPECT_EQ(port("a").received.packets.value(), 3U);
  EXPECT_EQ(port("b").sent.packets.value(), 3U);
  EXPECT_EQ(host("b").flushes(), 2U);
}

TEST_F(SwitchTest, FollowsAnAddressThatMoves) {
  start({.ports = {"a", "b", "c"}});
  send("a", {make_frame(everybody, alice, "1")});
  send("b", {make_frame(everybody, alice, "2")});
  arrived("a");
  arrived("b");
  send("c", {make_frame(alice, bob, "3")});
  EXPECT_THAT(arrived("a"), ElementsAre());
  EXPECT_THAT(arrived("b"), ElementsAre("3"));
  EXPECT_EQ(detail("moved"), "1");
}

TEST_F(SwitchTest, KeepsABatchTogether) {
  start({.ports = {"a", "b", "c"}});
  send("b", {make_frame(everybody, bob, "")});
  const auto before = host("b").arrived().size();
  std::vector<Bytes> frames;
  for (std::size_t i = 0; i < Batch::capacity; ++i)
    frames.push_back(make_frame(i % 2 == 0 ? bob : everybody, alice, std::to_string(i)));
  send("a", frames);
  EXPECT_EQ(host("b").arrived().size() - before, Batch::capacity);
  EXPECT_EQ(host("c").arrived().size(), 1 + Batch::capacity / 2);
  EXPECT_EQ(host("b").batches(), 1U);
  EXPECT_EQ(host("c").batches(), 2U);  // one was bob's
  EXPECT_EQ(host("b").flushes(), 1U);
}

TEST_F(SwitchTest, FloodedFramesShareNothing) {
  start({.ports = {"a", "b", "c", "d"}});
  send("a", {make_frame(everybody, alice, "the same")});
  std::set<const std::byte*> places;
  for (const auto* name : {"b", "c", "d"}) {
    auto& packet = host(name).arrived().at(0);
    places.insert(packet.data());
    std::memset(packet.data() + 14, name[0], packet.size() - 14);
  }
  EXPECT_EQ(places.size(), 3U);
  EXPECT_THAT(arrived("b"), ElementsAre("bbbbbbbb"));
  EXPECT_THAT(arrived("c"), ElementsAre("cccccccc"));
}

TEST_F(SwitchTest, NothingLeavesByThePortThatItCameInBy) {
  start({.ports = {"a", "b"}});
  send("a", {make_frame(everybody, alice, "1"), make_frame(everybody, bob, "2")});
  send("a", {make_frame(bob, alice, "between neighbours")});
  EXPECT_THAT(arrived("b"), ElementsAre("1", "2"));
  EXPECT_THAT(arrived("a"), ElementsAre());
  EXPECT_EQ(port("a").received.dropped(DropReason::same_port), 1U);
}

TEST_F(SwitchTest, IsolatedPortsDoNotTalkToEachOther) {
  start({.ports = {"a", "b", "up"}, .isolated = {"a", "b"}});
  send("a", {make_frame(everybody, alice, "1")});
  EXPECT_THAT(arrived("b"), ElementsAre());
  EXPECT_THAT(arrived("up"), ElementsAre("1"));
  send("b", {make_frame(alice, bob, "2")});
  EXPECT_THAT(arrived("a"), ElementsAre());
  EXPECT_EQ(port("b").received.dropped(DropReason::isolated), 1U);
  send("up", {make_frame(alice, 0x020000000003, "3"), make_frame(everybody, 0x020000000003, "4")});
  EXPECT_THAT(arrived("a"), ElementsAre("3", "4"));
  EXPECT_THAT(arrived("b"), ElementsAre("4"));
}

TEST_F(SwitchTest, DropsWhatNoSwitchMayPassOn) {
  start({.ports = {"a", "b"}});
  send("a", {Bytes(13), make_frame(bob, everybody, "from all"), make_frame(bob, 0, "from nobody"),
             make_frame(0x0180c2000001, alice, "pause"), make_frame(0x0180c200000e, alice, "lldp"),
             make_frame(0x0180c2000010, alice, "for all bridges")});
  EXPECT_THAT(arrived("b"), ElementsAre("for all bridges"));
  const auto& counters = port("a").received;
  EXPECT_EQ(counters.dropped(DropReason::malformed), 1U);
  EXPECT_EQ(counters.dropped(DropReason::wrong_source), 2U);
  EXPECT_EQ(counters.dropped(DropReason::reserved), 2U);
}

TEST_F(SwitchTest, StaticAddressesAreWhereTheyWereSaidToBe) {
  start({.ports = {"a", "b", "c"}, .addresses = {{to_mac_address(bob), "b"}}});
  send("c", {make_frame(everybody, bob, "I am bob, too")});
  arrived("b");
  send("a", {make_frame(bob, alice, "for bob")});
  EXPECT_THAT(arrived("b"), ElementsAre("for bob"));
  EXPECT_THAT(arrived("c"), ElementsAre());
}

TEST_F(SwitchTest, SuperPacketsPassWholeToWhoTakesThemAndInPiecesToOthers) {
  start({.ports = {"a", "b", "c"}}, {{"c", {.medium = Medium::ethernet}}});
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.payload.resize(3000, std::byte{7});
  const auto super = offload::make_super_packet(spec, 1000, true);
  auto packet = make_packet(*pool_, super.bytes);
  packet.offload() = super.offload;
  Batch batch;
  batch.push(std::move(packet));
  host("a").inject(batch);
  ASSERT_EQ(host("b").arrived().size(), 1U);
  EXPECT_EQ(bytes_of(host("b").arrived()[0]), super.bytes);
  EXPECT_EQ(host("b").arrived()[0].offload(), super.offload);
  const auto segments = offload::obvious_segments(spec, 1000);
  ASSERT_EQ(host("c").arrived().size(), segments.size());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    EXPECT_EQ(bytes_of(host("c").arrived()[i]), wire::testing::build(segments[i]));
    EXPECT_TRUE(host("c").arrived()[i].offload().complete());
  }
}

TEST_F(SwitchTest, ACircleOfLinksIsBroken) {
  GraphSpec spec;
  SwitchSettings settings{.ports = {"a", "x", "y"}};
  spec.nodes = {{"ha", std::make_shared<MemoryNodeConfig>(whole)},
                {"lan", std::make_shared<SwitchNodeConfig>(settings)}};
  spec.links = {{"ha", "lan.a"}, {"lan.x", "lan.y"}};
  ASSERT_TRUE(graph_.apply(spec));
  send("a", {make_frame(everybody, alice, "round and round")});
  EXPECT_THAT(arrived("a"), ElementsAre());
  EXPECT_EQ(port("x").received.dropped(DropReason::loop), 1U);
  EXPECT_EQ(port("y").received.dropped(DropReason::loop), 1U);
}

TEST_F(SwitchTest, WithoutAnybodyElseFramesAreCounted) {
  start({.ports = {"a"}});
  send("a", {make_frame(everybody, alice, "")});
  EXPECT_EQ(port("a").received.dropped(DropReason::no_link), 1U);
}

TEST_F(SwitchTest, PortsComeAndGoWhileTheOthersGoOn) {
  start({.ports = {"a", "b"}});
  send("a", {make_frame(everybody, alice, "")});
  auto* before = &node("lan");
  start({.ports = {"c", "b", "a"}});
  EXPECT_EQ(&node("lan"), before);
  EXPECT_EQ(node("lan").ports().front()->name(), "c");
  send("c", {make_frame(alice, bob, "still there")});
  EXPECT_THAT(arrived("a"), ElementsAre("still there"));
  // What was behind a port that goes is not known any more, nor is the port's number its.
  start({.ports = {"b", "c"}});
  start({.ports = {"b", "c", "d"}});
  EXPECT_EQ(&node("lan"), before);
  arrived("b");
  send("c", {make_frame(alice, bob, "where is alice")});
  EXPECT_THAT(arrived("b"), ElementsAre("where is alice"));
  EXPECT_THAT(arrived("d"), ElementsAre("where is alice"));
}

TEST_F(SwitchTest, ChangesInPlaceWhatItCan) {
  SwitchSettings settings{.ports = {"a", "b"}, .addresses = {{to_mac_address(bob), "b"}}};
  start(settings);
  auto* before = &node("lan");
  settings.isolated = {"a", "b"};
  settings.addresses = {{to_mac_address(alice), "a"}};
  settings.table.ageing = 30s;
  start(settings);
  EXPECT_EQ(&node("lan"), before);
  EXPECT_EQ(detail("ageing"), "30 s");
  EXPECT_EQ(detail("isolated"), "a, b");
  EXPECT_EQ(detail("behind a"), "1");
  EXPECT_EQ(detail("behind b"), "0");
  settings.table.max_entries = 10;
  start(settings);
  EXPECT_EQ(detail("addresses"), "1 of 10");
}

TEST_F(SwitchTest, SaysWhatItCannotDo) {
  SwitchSettings settings{.ports = {"a"}, .addresses = {{to_mac_address(bob), "nowhere"}}};
  const auto made = SwitchNodeConfig(settings).create("lan", *loop_);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("lan: put 02:00:00:00:00:02 behind \"nowhere\""));
}

// Random frames between random hosts, against a table that is a map and floods by a loop.
TEST_F(SwitchTest, DoesWhatAnObviousSwitchDoes) {
  const std::vector<std::string> names = {"a", "b", "c", "d", "e"};
  const std::set<std::string> isolated = {"b", "d"};
  start({.ports = names, .isolated = {isolated.begin(), isolated.end()}});
  std::map<std::uint64_t, std::string> table;
  std::mt19937_64 random(11);
  for (int round = 0; round < 2000; ++round) {
    const auto& from = names[random() % names.size()];
    std::map<std::string, std::vector<std::string>> expected;
    std::vector<Bytes> frames;
    const auto count = 1 + random() % Batch::capacity;
    for (std::size_t i = 0; i < count; ++i) {
      const auto source = 0x020000000000 + random() % 20 + (random() % 50 == 0 ? 1ULL << 40 : 0);
      const auto destination = random() % 5 == 0 ? everybody : 0x020000000000 + random() % 20;
      const auto text = fmt::format("{}.{}", round, i);
      frames.push_back(make_frame(destination, source, text));
      if ((source >> 40 & 1) != 0) continue;
      table[source] = from;
      const auto known = table.find(destination);
      for (const auto& to : names)
        if (to != from && !(isolated.contains(to) && isolated.contains(from)) &&
            (known == table.end() || known->second == to))
          expected[to].push_back(text);
    }
    send(from, frames);
    for (const auto& name : names) ASSERT_EQ(arrived(name), expected[name]) << name;
  }
}

}  // namespace
}  // namespace warren::l2
