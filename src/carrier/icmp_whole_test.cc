// Super-packets that stay whole (bpf/icmp_whole.h), sent by real sockets: only those make them.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "carrier/bpf_map.h"
#include "carrier/carrier_testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT

constexpr std::uint16_t tag = 0x3fa2;
constexpr std::uint16_t port = 5000;
constexpr int segment_size = 1400;
constexpr int segments = 20;
constexpr std::uint64_t second = 1'000'000'000;

class IcmpWholeTest : public IcmpCarrierTest {
 protected:
  void start(const IcmpDeviceOptions& options = {}) {
    serve("alice", tag, port, options);
    for (const auto* address : {"10.9.0.2", "fd09::2"}) connect(address, tag, port, options);
  }
  struct Ends {
    Udp server, client;
  };
  /// The server knows the client, as after a handshake, and the client sends super-packets.
  Ends open_session(const std::string& from = "10.9.0.1", const std::string& to = "10.9.0.2") {
    Ends ends{{server_.get(), to, port}, {client_.get(), from, 40000}};
    EXPECT_TRUE(ends.client.send("hello", to, port));
    EXPECT_EQ(ends.server.receive(), "hello");
    ends.client.segment(segment_size);
    return ends;
  }
  static std::string burst(int datagrams = segments) {
    std::string text;
    for (int i = 0; i < datagrams; ++i)
      text += std::string(segment_size, static_cast<char>('A' + i));
    return text;
  }
  static void send_burst(Udp& client, int datagrams = segments) {
    ASSERT_TRUE(client.send(burst(datagrams), "10.9.0.2", port));
  }
  /// All of the burst, and each datagram once.
  static void expect_burst(Udp& receiver, int datagrams = segments) {
    std::vector<char> seen;
    for (int i = 0; i < datagrams; ++i) {
      const auto text = receiver.receive();
      ASSERT_EQ(text.size(), std::size_t{segment_size}) << "after " << i;
      ASSERT_EQ(text, std::string(segment_size, text[0]));
      seen.push_back(text[0]);
    }
    std::ranges::sort(seen);
    for (int i = 0; i < datagrams; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], 'A' + i);
    EXPECT_EQ(receiver.receive(0), "") << "a datagram came twice";
  }
  void look() {
    for (const auto& frame : wire_->frames()) {
      EXPECT_NE(frame.protocol, IPPROTO_UDP);
      seen_.push_back(frame);
    }
  }
  /// Of all since the last time: how many have this Ethernet type.
  auto count(int ethertype) {
    look();
    return std::ranges::count(seen_, ethertype, &Wire::Frame::ethertype);
  }
  auto whole_messages() {
    look();
    return std::ranges::count_if(seen_, [](const auto& frame) { return frame.size > 1500; });
  }
  auto messages() {
    look();
    return std::ranges::count_if(seen_, [](const auto& frame) {
      return frame.size == segment_size + (frame.protocol == IPPROTO_ICMP ? 28 : 48);
    });
  }
  void forget_what_was_seen() {
    look();
    seen_.clear();
  }
  /// Sends bursts until two in a row have gone whole: one as a try. Returns how many it took.
  template <class Send>
  unsigned bursts_until_whole(Send send, Udp& receiver, int datagrams = segments) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    bool before = false;
    for (unsigned bursts = 1; std::chrono::steady_clock::now() < deadline; ++bursts) {
      forget_what_was_seen();
      send(burst(datagrams));
      expect_burst(receiver, datagrams);
      const bool whole = whole_messages() == 1;
      EXPECT_EQ(messages(), whole ? 0 : datagrams);
      if (whole && before) return bursts;
      before = whole;
    }
    ADD_FAILURE() << "none goes whole";
    return 0;
  }
  unsigned bursts_until_whole(Udp& client, Udp& server, int datagrams = segments) {
    return bursts_until_whole(
        [&](const std::string& text) { ASSERT_TRUE(client.send(text, "10.9.0.2", port)); }, server,
        datagrams);
  }
  /// What was sent before has arrived, and the server is done with it.
  void let_the_wire_run_dry() {
    EXPECT_EQ(shell(client_, "ping -q -c 1 -w 5 10.9.0.2 >/dev/null"), 0);
  }
  void forget_what_arrives(Udp& receiver) {
    let_the_wire_run_dry();
    while (!receiver.receive(0).empty()) {
    }
  }
  /// What the client's programs know of the one flow.
  template <class Change>
  void change_whole(Change change) {
    at(client_, [&] {
      const auto pins = BpfPins::open(pins_name(), BpfPins::Access::change);
      ASSERT_OK(pins);
      auto pinned = pins->get("map-wholes");
      ASSERT_TRUE(pinned && *pinned);
      BpfMap<icmp_whole_key, icmp_whole> map(std::move(*pinned));
      const auto all = map.all();
      ASSERT_EQ(all->size(), 1U);
      auto [key, whole] = all->front();
      change(whole);
      ASSERT_OK(map.put(key, whole));
    });
  }
  /// Of the programs, give or take a second.
  static std::uint64_t clock() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * second;
  }

  std::vector<Wire::Frame> seen_;
};

TEST_F(IcmpWholeTest, WholeOnceTheOtherEndHasSaidSo) {
  start();
  for (const auto& [from, to] : {std::pair{"10.9.0.1", "10.9.0.2"}, {"fd09::1", "fd09::2"}}) {
    SCOPED_TRACE(to);
    auto [server, client] = open_session(from, to);
    server.segment(segment_size);
    const auto sent = bursts_until_whole(
        [&](const std::string& text) { ASSERT_TRUE(client.send(text, to, port)); }, server);
    EXPECT_GE(sent, 3U) << "the first cannot be whole";
    const auto answered =
        bursts_until_whole([&](const std::string& text) { server.answer(text); }, client);
    // Counted as a wire would see them.
    const auto servers = state(client_).servers;
    const auto& counts = std::ranges::find(servers, *IpAddress::parse(to), [](const auto& entry) {
                           return entry.first.address;
                         })->second;
    const auto size = segment_size + (std::string_view(to) == "fd09::2" ? 48U : 28U);
    EXPECT_EQ(counts.tx_packets, sent * segments + 1);
    EXPECT_EQ(counts.rx_packets, answered * segments);
    EXPECT_EQ(counts.tx_bytes, sent * segments * size + 5 + size - segment_size);
    EXPECT_EQ(counts.rx_bytes, answered * segments * size);
  }
  EXPECT_GE(state(client_).devices.at(0).whole_flows, 1U);
}

TEST_F(IcmpWholeTest, AnAnswerHoldsForASecond) {
  start();
  auto [server, client] = open_session();
  bursts_until_whole(client, server);
  change_whole([](icmp_whole& whole) { whole.answered -= second + second / 2; });
  forget_what_was_seen();
  send_burst(client);
  expect_burst(server);
  EXPECT_EQ(whole_messages(), 0);
  EXPECT_EQ(messages(), segments);
}

TEST_F(IcmpWholeTest, ALongerOneIsTriedFirst) {
  start();
  auto [server, client] = open_session();
  bursts_until_whole(client, server);
  // The server has not seen one as long, and is not told of this one.
  change_whole([](icmp_whole& whole) {
    whole.tried = clock() + 100 * second;
    whole.refused = whole.proven + 1;
    whole.failures = 1;
  });
  for (int i = 0; i < 10; ++i) {
    forget_what_was_seen();
    send_burst(client, 2 * segments);
    expect_burst(server, 2 * segments);
    EXPECT_EQ(whole_messages(), 0);
  }
  change_whole([](icmp_whole& whole) { whole.tried = 0; });
  bursts_until_whole(client, server, 2 * segments);
}

/// The questions arrive, and what they are about does not: the kernel drops it.
TEST_F(IcmpWholeTest, WhatDoesNotArriveTakesTheDetourAgain) {
  start();
  auto [server, client] = open_session();
  bursts_until_whole(client, server);
  ASSERT_EQ(shell(client_, "ethtool -K c0 tx-udp-segmentation off"), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::uint32_t failures = 0;
  while (failures == 0 && std::chrono::steady_clock::now() < deadline) {
    (void)client.send(burst(), "10.9.0.2", port);
    change_whole([&](icmp_whole& whole) { failures = whole.failures; });
  }
  EXPECT_NE(failures, 0U);
  change_whole([](icmp_whole& whole) {
    EXPECT_EQ(whole.proven, 0U);
    whole.tried = clock() + 100 * second;
  });
  forget_what_arrives(server);
  send_burst(client);
  expect_burst(server);
}

/// A bound on the length, and lengths on both sides of it.
TEST_F(IcmpWholeTest, ShorterOnesStayWholeWhereLongerOnesDoNotArrive) {
  start();
  auto [server, client] = open_session();
  bursts_until_whole(client, server);
  ASSERT_EQ(shell(client_, "ip link set c0 gso_max_size 40000"), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  icmp_whole known{};
  while (known.refused == 0 && known.proven < 2 * segments * segment_size &&
         std::chrono::steady_clock::now() < deadline) {
    (void)client.send(burst(2 * segments), "10.9.0.2", port);
    send_burst(client);
    change_whole([&](icmp_whole& whole) { known = whole; });
  }
  if (known.refused == 0) GTEST_SKIP() << "this kernel does not look at gso_max_size";
  forget_what_arrives(server);
  // Short ones that arrive say nothing of long ones.
  change_whole([](icmp_whole& whole) { whole.tried = clock() + 100 * second; });
  for (int i = 0; i < 3; ++i) {
    bursts_until_whole(client, server);
    forget_what_was_seen();
    send_burst(client, 2 * segments);
    expect_burst(server, 2 * segments);
    EXPECT_EQ(messages(), 2 * segments);
    change_whole([&](icmp_whole& whole) { EXPECT_NE(whole.refused, 0U); });
  }
}

TEST_F(IcmpWholeTest, WhoDoesNotAnswerIsAskedEverMoreRarely) {
  start();
  at(server_, [] { EXPECT_TRUE((*IcmpCarrier::find(BpfPins::Access::change))->detach("s0")); });
  Udp client(client_.get(), "10.9.0.1", 40000);
  client.segment(segment_size);
  send_burst(client);
  for (const auto& [unanswered, before, asks] : {std::tuple{4U, 2 * second, 0},
                                                 {4U, 6 * second, 1},
                                                 {8U, 60 * second, 0},
                                                 {8U, 70 * second, 1},
                                                 {1000U, 60 * second, 0},
                                                 {1000U, 70 * second, 1}}) {
    SCOPED_TRACE(::testing::Message() << unanswered << " " << before);
    if (clock() < before) continue;  // the machine has only just started
    change_whole([&, unanswered = unanswered, before = before](icmp_whole& whole) {
      whole.asked = clock() - before;
      whole.unanswered = unanswered;
      EXPECT_EQ(whole.answered, 0U);
    });
    forget_what_was_seen();
    send_burst(client);
    let_the_wire_run_dry();
    EXPECT_EQ(count(ICMP_WHOLE_QUESTION), asks);
    EXPECT_EQ(count(ICMP_WHOLE_ANSWER), 0);
    for (const auto& frame : seen_) EXPECT_LE(frame.size, 1500U);
  }
}

TEST_F(IcmpWholeTest, ATagThatIsNobodysIsNotAnswered) {
  serve("alice", 0x1111, port);
  connect("10.9.0.2", tag, port);
  Udp client(client_.get(), "10.9.0.1", 40000);
  client.segment(segment_size);
  send_burst(client);
  change_whole([](icmp_whole& whole) { whole.asked = 0; });
  send_burst(client);
  let_the_wire_run_dry();
  EXPECT_EQ(count(ICMP_WHOLE_QUESTION), 1);
  EXPECT_EQ(count(ICMP_WHOLE_ANSWER), 0);
}

TEST_F(IcmpWholeTest, NobodyIsAskedWhereEveryChecksumIsToBeFinished) {
  start({.checksum = ChecksumMode::software});
  auto [server, client] = open_session();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
  while (std::chrono::steady_clock::now() < end) {
    send_burst(client);
    expect_burst(server);
  }
  EXPECT_EQ(count(ICMP_WHOLE_QUESTION), 0);
  EXPECT_EQ(whole_messages(), 0);
}

}  // namespace
}  // namespace warren::carrier
