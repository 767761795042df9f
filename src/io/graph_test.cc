// The graph with nodes that need no devices.
#include "core/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/memory_node.h"
#include "io/impair_node.h"

namespace warren {
namespace {

using testing::HasSubstr;

class GraphTest : public testing::Test {
 protected:
  static NodeSpec memory(const std::string& name, const Capabilities& capabilities = {}) {
    return {name, std::make_shared<MemoryNodeConfig>(capabilities)};
  }
  static NodeSpec impair(const std::string& name, const ImpairmentConfig& config = {}) {
    return {name, std::make_shared<ImpairNodeConfig>(Medium::ip, config)};
  }
  MemoryNode& node(const std::string& name) {
    for (auto* candidate : graph_.nodes())
      if (candidate->name() == name) return static_cast<MemoryNode&>(*candidate);
    throw std::runtime_error("no node " + name);
  }
  void send(const std::string& from, std::size_t count = 1) {
    Batch batch;
    for (std::size_t i = 0; i < count; ++i) {
      Packet packet = loop_->pool().allocate();
      packet.resize(100);
      std::memset(packet.data(), static_cast<int>(i), 100);
      batch.push(std::move(packet));
    }
    node(from).inject(batch);
    EXPECT_TRUE(batch.empty());
  }

  std::unique_ptr<Loop> loop_ = std::move(*Loop::create(Loop::Backend::epoll));
  int adapters_ = 0;
  Graph graph_{*loop_, [this](Port&, Port&) -> Result<std::unique_ptr<PacketSink>> {
                 ++adapters_;
                 return fail("no adapter here");
               }};
};

TEST_F(GraphTest, ALinkCarriesBothWays) {
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y")}, {{"x", "y"}}}));
  send("x", 3);
  EXPECT_EQ(node("y").arrived().size(), 3U);
  EXPECT_EQ(node("y").flushes(), 1U);
  send("y");
  EXPECT_EQ(node("x").arrived().size(), 1U);
  EXPECT_EQ(node("x").ports()[0]->sent.packets.value(), 3U);
  EXPECT_EQ(node("x").ports()[0]->received.bytes.value(), 100U);
  EXPECT_EQ(adapters_, 0);
}

TEST_F(GraphTest, WithoutALinkPacketsAreCountedAndDropped) {
  ASSERT_TRUE(graph_.apply({{memory("x")}, {}}));
  send("x", 2);
  EXPECT_EQ(node("x").ports()[0]->sent.dropped(DropReason::no_link), 2U);
}

TEST_F(GraphTest, APassThroughImpairmentDeliversInTheLoop) {
  using namespace std::chrono_literals;
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y"), impair("bad", {.delay = 1ms})},
                            {{"x", "bad.a"}, {"bad.b", "y"}}}));
  send("x", 2);
  EXPECT_TRUE(node("y").arrived().empty());
  Timer enough(*loop_, [this] { loop_->stop(); });
  enough.set(Clock::now() + 50ms);
  ASSERT_TRUE(loop_->run());
  EXPECT_EQ(node("y").arrived().size(), 2U);
}

TEST_F(GraphTest, WhatIsTheSameIsNotTouched) {
  const auto x = memory("x");
  ASSERT_TRUE(graph_.apply({{x, memory("y"), memory("z")}, {{"x", "y"}}}));
  auto* before = &node("x");
  send("x");
  // Another object with the same content is the same node, too.
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y"), memory("w")}, {{"x", "y"}}}));
  EXPECT_EQ(&node("x"), before);
  send("x");
  EXPECT_EQ(node("y").arrived().size(), 2U);
  EXPECT_THROW(node("z"), std::runtime_error);
}

TEST_F(GraphTest, LinksMoveAndNodesGo) {
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y")}, {{"x", "y"}}}));
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y"), memory("z")}, {{"x", "z"}}}));
  send("x");
  EXPECT_EQ(node("z").arrived().size(), 1U);
  EXPECT_TRUE(node("y").arrived().empty());
  ASSERT_TRUE(graph_.apply({{memory("x")}, {}}));
  send("x");
  EXPECT_EQ(node("x").ports()[0]->sent.dropped(DropReason::no_link), 1U);
}

TEST_F(GraphTest, AFailureRestoresWhatRan) {
  ASSERT_TRUE(graph_.apply({{memory("x"), memory("y")}, {{"x", "y"}}}));
  auto* before = &node("x");
  const auto failed = graph_.apply({{memory("x"), memory("new")}, {{"x", "nowhere"}}});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("nowhere"));
  EXPECT_EQ(&node("x"), before);
  EXPECT_EQ(graph_.nodes().size(), 2U);
  send("x");
  EXPECT_EQ(node("y").arrived().size(), 1U);
}

TEST_F(GraphTest, RefusesLinksThatMakeNoSense) {
  const auto error = [this](std::vector<LinkSpec> links) {
    const auto applied = graph_.apply(
        {{memory("x"), memory("y"), memory("e", {.medium = Medium::ethernet}), impair("bad")},
         std::move(links)});
    return applied ? "" : applied.error().message;
  };
  EXPECT_THAT(error({{"x", "e"}}), HasSubstr("Ethernet"));
  EXPECT_THAT(error({{"x", "x"}}), HasSubstr("twice"));
  EXPECT_THAT(error({{"x", "y"}, {"y", "bad.a"}}), HasSubstr("twice"));
  EXPECT_THAT(error({{"x", "bad"}}), HasSubstr("\"bad.a\", \"bad.b\""));
  EXPECT_THAT(error({{"x", "bad.c"}}), HasSubstr("no such port"));
}

TEST_F(GraphTest, AnAdapterStandsWhereTheConsumerTakesLess) {
  EXPECT_FALSE(graph_.apply({{memory("x", {.checksum = true}), memory("y")}, {{"x", "y"}}}));
  EXPECT_GE(adapters_, 1);
}

}  // namespace
}  // namespace warren
