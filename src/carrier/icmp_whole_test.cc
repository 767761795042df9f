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
constexpr int question = 0x88b5;
constexpr int answer = 0x88b6;
constexpr std::uint64_t second = 1'000'000'000;

class IcmpWholeTest : public IcmpCarrierTest {
 protected:
  void start(const IcmpDeviceOptions& options = {}) {
    serve("alice", tag, port, options);
    for (const auto* address : {"10.9.0.2", "fd09::2"}) connect(address, tag, port, options);
  }
  static std::string burst(char first) {
    std::string text;
    for (int i = 0; i < segments; ++i)
      text += std::string(segment_size, static_cast<char>(first + i));
    return text;
  }
  /// The server knows the client, as after a handshake.
  static void open_session(Udp& client, Udp& server, const std::string& to) {
    ASSERT_TRUE(client.send("hello", to, port));
    ASSERT_EQ(server.receive(), "hello");
  }
  /// All of the burst, and each datagram once.
  static void expect_burst(Udp& receiver, char first) {
    std::vector<char> seen;
    for (int i = 0; i < segments; ++i) {
      const auto text = receiver.receive();
      ASSERT_EQ(text.size(), std::size_t{segment_size}) << "after " << i;
      ASSERT_EQ(text, std::string(segment_size, text[0]));
      seen.push_back(text[0]);
    }
    std::ranges::sort(seen);
    for (int i = 0; i < segments; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], first + i);
    EXPECT_EQ(receiver.receive(0), "") << "a datagram came twice";
  }
  /// How many: the first is asked about, and takes the detour; then an answer holds for a second.
  template <class Send>
  unsigned bursts_until_one_is_whole(Send send, Udp& receiver) {
    for (unsigned bursts = 1; bursts < 20; ++bursts) {
      forget_what_was_seen();
      send(burst('A'));
      expect_burst(receiver, 'A');
      EXPECT_EQ(messages() + segments * whole_messages(), segments);
      if (whole_messages() == 1) {
        EXPECT_GT(bursts, 1U);
        return bursts;
      }
      if (bursts == 1) wait_for(answer);
    }
    ADD_FAILURE() << "none went whole";
    return 0;
  }
  /// Until the wire has seen a frame of that Ethernet type. UDP is never on it.
  void wait_for(int ethertype) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      look();
      if (std::ranges::count(seen_, ethertype, &Wire::Frame::ethertype) != 0) return;
    }
    FAIL() << "no frame of type " << ethertype;
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
    return std::ranges::count_if(seen_, [](const auto& frame) {
      return frame.ethertype != question && frame.ethertype != answer && frame.size > 1500;
    });
  }
  auto messages() {
    look();
    return std::ranges::count_if(seen_, [](const auto& frame) {
      return (frame.protocol == IPPROTO_ICMP || frame.protocol == IPPROTO_ICMPV6) &&
             frame.size == frame_size(frame) + segment_size;
    });
  }
  static std::size_t frame_size(const Wire::Frame& frame) {
    return frame.protocol == IPPROTO_ICMP ? 28 : 48;
  }
  void forget_what_was_seen() {
    look();
    seen_.clear();
  }
  /// What was sent before has arrived, and the server is done with it.
  void let_the_wire_run_dry() {
    EXPECT_EQ(shell(client_, "ping -q -c 1 -w 5 10.9.0.2 >/dev/null"), 0);
  }
  /// What the client's programs know of 10.9.0.2.
  template <class Change>
  void change_whole(Change change) {
    at(client_, [&] {
      const auto pins = BpfPins::open(fmt::format("icmp-v{}", ICMP_ABI_VERSION),
                                      BpfPins::Access::change);
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

  std::vector<Wire::Frame> seen_;
};

TEST_F(IcmpWholeTest, WholeOnceTheOtherEndHasAnswered) {
  start();
  for (const auto& [from, to] : {std::pair{"10.9.0.1", "10.9.0.2"}, {"fd09::1", "fd09::2"}}) {
    SCOPED_TRACE(to);
    Udp server(server_.get(), to, port);
    Udp client(client_.get(), from, 40000);
    open_session(client, server, to);
    server.segment(segment_size);
    client.segment(segment_size);
    const auto sent = bursts_until_one_is_whole(
        [&](const std::string& text) { ASSERT_TRUE(client.send(text, to, port)); }, server);
    const auto answered =
        bursts_until_one_is_whole([&](const std::string& text) { server.answer(text); }, client);
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
  EXPECT_EQ(state(client_).devices.at(0).whole_peers, 2U);
}

TEST_F(IcmpWholeTest, AnAnswerHoldsForASecond) {
  start();
  Udp server(server_.get(), "10.9.0.2", port);
  Udp client(client_.get(), "10.9.0.1", 40000);
  open_session(client, server, "10.9.0.2");
  client.segment(segment_size);
  ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
  expect_burst(server, 'A');
  wait_for(answer);
  change_whole([](icmp_whole& whole) {
    EXPECT_NE(whole.answered, 0U);
    EXPECT_EQ(whole.unanswered, 0U);
    whole.answered -= second + second / 2;
  });
  forget_what_was_seen();
  ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
  expect_burst(server, 'A');
  EXPECT_EQ(whole_messages(), 0);
  EXPECT_EQ(messages(), segments);
}

TEST_F(IcmpWholeTest, WhoDoesNotAnswerIsAskedEverMoreRarely) {
  start();
  at(server_, [] { EXPECT_TRUE((*IcmpCarrier::find(BpfPins::Access::change))->detach("s0")); });
  Udp client(client_.get(), "10.9.0.1", 40000);
  client.segment(segment_size);
  const auto ask = [&] {
    forget_what_was_seen();
    ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
    let_the_wire_run_dry();
  };
  ask();
  EXPECT_EQ(count(question), 1);
  for (const auto& [unanswered, before, asks] :
       {std::tuple{4U, 3 * second, 0}, {4U, 5 * second, 1}, {8U, 60 * second, 0},
        {8U, 70 * second, 1}, {1000U, 60 * second, 0}, {1000U, 70 * second, 1}}) {
    SCOPED_TRACE(::testing::Message() << unanswered << " " << before);
    change_whole([&](icmp_whole& whole) {
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      whole.asked = static_cast<std::uint64_t>(now.tv_sec) * second - before;
      whole.unanswered = unanswered;
      EXPECT_EQ(whole.answered, 0U);
    });
    ask();
    EXPECT_EQ(count(question), asks);
    EXPECT_EQ(count(answer), 0);
  }
}

TEST_F(IcmpWholeTest, ATagThatIsNobodysIsNotAnswered) {
  serve("alice", 0x1111, port);
  connect("10.9.0.2", tag, port);
  Udp client(client_.get(), "10.9.0.1", 40000);
  client.segment(segment_size);
  ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
  wait_for(question);
  let_the_wire_run_dry();
  EXPECT_EQ(count(answer), 0);
}

TEST_F(IcmpWholeTest, NobodyIsAskedWhereEveryChecksumIsToBeFinished) {
  start({.checksum = ChecksumMode::software});
  Udp server(server_.get(), "10.9.0.2", port);
  Udp client(client_.get(), "10.9.0.1", 40000);
  open_session(client, server, "10.9.0.2");
  client.segment(segment_size);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
    expect_burst(server, 'A');
  }
  EXPECT_EQ(count(question), 0);
  EXPECT_EQ(messages(), 2 * segments);
}

TEST_F(IcmpWholeTest, ADeviceThatSegmentsNoUdpLosesTheQuestionAlone) {
  start();
  ASSERT_EQ(shell(client_, "ethtool -K c0 tx-udp-segmentation off"), 0);
  Udp server(server_.get(), "10.9.0.2", port);
  Udp client(client_.get(), "10.9.0.1", 40000);
  open_session(client, server, "10.9.0.2");
  client.segment(segment_size);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.send(burst('A'), "10.9.0.2", port));
    expect_burst(server, 'A');
  }
  EXPECT_EQ(whole_messages(), 0);
  EXPECT_EQ(messages(), 2 * segments);
}

}  // namespace
}  // namespace warren::carrier
