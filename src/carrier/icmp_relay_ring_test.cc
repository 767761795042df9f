// What comes to the relay through a ring, and what does not, with real sockets.
#include "carrier/relay_testing.h"
#include "io/packet_ring.h"
#include "linux/kernel_version.h"
#include "linux/sysctl.h"

namespace warren::carrier {
namespace {

using namespace testing;

class IcmpRelayRingTest : public IcmpRelayTest {
 protected:
  // A request with or without "don't fragment".
  void send_request(std::uint16_t identifier, const Bytes& payload, int discovery,
                    const std::string& host = "10.7.0.2") const {
    const auto scope = NetnsScope::enter(client_.get());
    const Fd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    ASSERT_EQ(::setsockopt(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, &discovery, sizeof discovery), 0);
    const auto message = pinger().request(tag, identifier, payload);
    sockaddr_storage name{};
    const auto length = address(host, 0).store(name);
    ASSERT_EQ(::sendto(fd.get(), message.data(), message.size(), 0,
                       reinterpret_cast<const sockaddr*>(&name), length),
              static_cast<ssize_t>(message.size()));
  }
  // Counts echo requests that IP of the server's machine has to do with.
  void count_requests() const {
    (void)run_on_server(
        "nft 'add table ip seen; add chain ip seen arrived { type filter hook prerouting priority "
        "0; "
        "}; add rule ip seen arrived icmp type echo-request counter'");
  }
  [[nodiscard]] int requests() const {
    const auto text = run_on_server("nft list table ip seen");
    const auto at = text.find("counter packets ");
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + 16);
  }
  [[nodiscard]] std::string run_on_server(const std::string& command) const {
    const auto scope = NetnsScope::enter(server_.get());
    std::string text;
    auto* output = ::popen(command.c_str(), "r");  // NOLINT
    for (int c = std::getc(output); c != EOF; c = std::getc(output)) text += static_cast<char>(c);
    EXPECT_EQ(::pclose(output), 0) << command;
    return text;
  }
  // To each of some datagrams, most of which come after their conversation has been met.
  void expect_answers(const Program& service, const Program& program) const {
    for (unsigned i = 0; i < 20; ++i) {
      program.send(loopback(relay_port), pattern(100, i));
      const auto request = service.receive();
      ASSERT_TRUE(request) << i;
      service.send(request->from, pattern(200, i));
      ASSERT_EQ(program.receive_bytes(), pattern(200, i)) << i;
    }
  }
  void forward_packets(const Fd& netns, bool on) const {
    const auto scope = NetnsScope::enter(netns.get());
    ASSERT_TRUE(sysctl::write("net/ipv4/ip_forward", on ? "1" : "0"));
  }
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpRelayRingTest, ::testing::Values(false),
                         [](const auto&) { return "ipv4"; });

TEST_P(IcmpRelayRingTest, EachMessageComesOnceThroughRingOrSocket) {
  const auto server = run_server(open_server_config());
  ASSERT_EQ(server.error(), "");
  const auto service = this->service();
  const auto expect_once = [&](const Bytes& bytes) {
    ASSERT_EQ(service.receive_bytes(), bytes);
    // The next one is what comes next, and not the same again.
    send_request(5, pattern(3), IP_PMTUDISC_DO);
    ASSERT_EQ(service.receive_bytes(), pattern(3));
    send_request(5, pattern(4), IP_PMTUDISC_DONT);
    ASSERT_EQ(service.receive_bytes(), pattern(4));
  };
  for (const std::size_t size : {0, 1, 100, 1400, 1472}) {
    const auto before = server.counters().ring.value();
    send_request(5, pattern(size), IP_PMTUDISC_DO);
    expect_once(pattern(size));
    EXPECT_EQ(server.counters().ring.value(), before + 2) << size;
    send_request(5, pattern(size, 1), IP_PMTUDISC_DONT);
    expect_once(pattern(size, 1));
  }
  for (const std::size_t size : {1473, 1900, 1944, 5000}) {  // fragments, some of which fit whole
    send_request(5, pattern(size), IP_PMTUDISC_DONT);
    expect_once(pattern(size));
  }
  EXPECT_EQ(server.counters().damaged.value(), 0U);
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(server.counters().overrun.value(), 0U);
}

/// IP sees the first message of a conversation, for the relay's rules; those that follow are in the ring.
TEST_P(IcmpRelayRingTest, WhatTheRingHasIsDroppedOnArrival) {
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  count_requests();
  constexpr int messages = 40;
  for (int i = 0; i < messages; ++i) {
    send_request(5, pattern(100, static_cast<unsigned>(i)), IP_PMTUDISC_DO);
    ASSERT_EQ(service.receive_bytes(), pattern(100, static_cast<unsigned>(i)));
  }
  const auto seen = requests();
  EXPECT_GE(seen, 1);
  EXPECT_LT(seen, messages / 2) << "once in five seconds";
  // What the ring does not take is no part of that, nor are others that look like it.
  send_request(5, pattern(100), IP_PMTUDISC_DONT);
  EXPECT_EQ(service.receive_bytes(), pattern(100));
  send_request(5, pattern(3000), IP_PMTUDISC_DONT);
  EXPECT_EQ(service.receive_bytes(), pattern(3000));
  const auto pinger = this->pinger();
  pinger.send(server_host(), pinger.request(ordinary, 5, pattern(100)));
  EXPECT_EQ(pinger.reply(5), pattern(100));
  EXPECT_GE(requests(), seen + 3);
  EXPECT_EQ(server.counters().opened.value(), 1U);
}

/// Connection tracking knows of what the ring has.
TEST_P(IcmpRelayRingTest, AFirewallThatLetsOnlyAnswersOutLetsRepliesOut) {
  (void)run_on_server(
      "nft 'add table ip strict; add chain ip strict out { type filter hook output priority 0; "
      "policy drop; }; add rule ip strict out oifname lo accept; "
      "add rule ip strict out ct state established,related accept'");
  const auto [client, server, service, program] = run_both();
  expect_answers(service, program);
  EXPECT_EQ(server.counters().failed.value(), 0U);
}

/// There the firewall comes before the ring.
TEST_P(IcmpRelayRingTest, ABridgeWhoseFramesTheFirewallSeesLosesNothing) {
  {
    const auto scope = NetnsScope::enter(server_.get());
    if (!sysctl::write("net/bridge/bridge-nf-call-iptables", "1"))
      GTEST_SKIP() << "needs br_netfilter (modprobe br_netfilter)";
  }
  (void)run_on_server(
      "ip link add br0 type bridge && ip link set dev b master br0 && ip address flush dev b && "
      "ip address add 10.7.0.2/24 dev br0 && ip link set br0 up");
  ASSERT_TRUE(pings_are_answered());
  const auto [client, server, service, program] = run_both();
  expect_answers(service, program);
}

TEST_P(IcmpRelayRingTest, WhatIsForOthersIsLeftAlone) {
  forward_packets(server_, true);
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  auto netlink = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_TRUE(netlink.add_route(
      "a", {.destination = *IpPrefix::parse("10.8.0.0/24"), .via = *IpAddress::parse("10.7.0.2")}));
  send_request(6, pattern(10), IP_PMTUDISC_DO, "10.8.0.9");
  send_request(7, pattern(20), IP_PMTUDISC_DO);
  EXPECT_EQ(service.receive_bytes(), pattern(20));
  EXPECT_EQ(server.counters().ring.value(), 2U);
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(server.counters().pings.value(), 0U);
}

TEST_P(IcmpRelayRingTest, BothSidesDoWithoutIfTold) {
  auto client_side = client_config();
  auto server_side = open_server_config();
  client_side.limits.ring = server_side.limits.ring = false;
  const auto client = run_client(client_side);
  const auto server = run_server(server_side);
  const auto service = this->service();
  const auto program = this->program();
  program.send(loopback(relay_port), pattern(100));
  const auto request = service.receive();
  ASSERT_TRUE(request);
  service.send(request->from, pattern(200));
  EXPECT_EQ(program.receive_bytes(), pattern(200));
  EXPECT_EQ(client.counters().ring.value() + server.counters().ring.value(), 0U);
  EXPECT_EQ(client.counters().local_ring.value() + server.counters().local_ring.value(), 0U);
}

TEST_P(IcmpRelayRingTest, LocalProgramsComeOnceThroughRingOrSocket) {
  if (!kernel_is_at_least(6, 2)) GTEST_SKIP() << "a ring for local programs needs kernel 6.2";
  const auto [client, server, service, program] = run_both();
  const auto expect_both_ways = [&](const Bytes& bytes, std::size_t segment) {
    const auto parts = segment == 0 ? std::size_t{1} : (bytes.size() + segment - 1) / segment;
    const auto part = [&](std::size_t i) {
      const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(i * segment);
      const auto size = segment == 0 ? bytes.size() : std::min(segment, bytes.size() - i * segment);
      return Bytes(begin, begin + static_cast<std::ptrdiff_t>(size));
    };
    program.send_segmented(loopback(relay_port), bytes, static_cast<std::uint16_t>(segment));
    SocketAddress from;
    for (std::size_t i = 0; i < parts; ++i) {
      const auto request = service.receive();
      ASSERT_TRUE(request);
      EXPECT_EQ(request->bytes, part(i));
      from = request->from;
    }
    service.send_segmented(from, bytes, static_cast<std::uint16_t>(segment));
    for (std::size_t i = 0; i < parts; ++i) EXPECT_EQ(program.receive_bytes(), part(i));
  };
  std::uint64_t expected = 0;
  for (const auto& [size, segment] : {std::pair<std::size_t, std::size_t>{1400, 0},
                                      {0, 0},
                                      {5000, 0},
                                      {250, 100},
                                      {4200, 1400}}) {
    expect_both_ways(pattern(size), segment);
    if (size + 28 <= PacketRing::max_packet) ++expected;
    EXPECT_EQ(client.counters().local_ring.value(), expected) << size;
    EXPECT_EQ(server.counters().local_ring.value(), expected) << size;
  }
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(client.counters().overrun.value() + server.counters().overrun.value(), 0U);
}

/// The ring belongs to the loopback device.
TEST_P(IcmpRelayRingTest, ProgramsOnOtherMachinesComeThroughSockets) {
  auto config = client_config();
  config.listen = address("10.7.0.1", relay_port);
  const auto client = run_client(config);
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const Program elsewhere(server_.get(), address("10.7.0.2", 0));
  elsewhere.send(config.listen, pattern(100));
  const auto request = service.receive();
  ASSERT_TRUE(request);
  service.send(request->from, pattern(200));
  EXPECT_EQ(elsewhere.receive_bytes(), pattern(200));
  EXPECT_EQ(client.counters().local_ring.value(), 0U);
}

/// A service says other things to other programs, and a conversation that has ended gets no more.
TEST_P(IcmpRelayRingTest, RepliesAreForTheConversationThatAsked) {
  auto config = open_server_config();
  config.limits.conversations = 1;
  const auto client = run_client(client_config());
  const auto server = run_server(config);
  const auto service = this->service();
  const Program stranger(server_.get(), loopback(0));
  stranger.send(loopback(service_port), pattern(1));
  const auto from_stranger = service.receive();
  ASSERT_TRUE(from_stranger);
  const auto program = this->program();
  program.send(loopback(relay_port), pattern(2));
  const auto first = service.receive();
  ASSERT_TRUE(first);
  service.send(from_stranger->from, pattern(3));
  EXPECT_EQ(stranger.receive_bytes(), pattern(3));
  const auto another = this->program();  // takes the place of the first, which nobody has answered
  another.send(loopback(relay_port), pattern(4));
  const auto second = service.receive();
  ASSERT_TRUE(second);
  service.send(first->from, pattern(5));
  service.send(second->from, pattern(6));
  EXPECT_EQ(another.receive_bytes(), pattern(6));
  EXPECT_FALSE(program.receive(0ms));
}

/// Where addresses are translated, replies have to go through that first.
TEST_P(IcmpRelayRingTest, ClientThatForwardsUsesSockets) {
  auto config = client_config();
  config.limits.idle = 2s;  // it looks four times as often
  const auto client = run_client(config);
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const auto program = this->program();
  const auto ask = [&] {
    program.send(loopback(relay_port), pattern(10));
    const auto request = service.receive(100ms);
    if (request) service.send(request->from, pattern(20));
    return program.receive(100ms).has_value();
  };
  ASSERT_TRUE(until_true(ask));
  EXPECT_GE(client.counters().ring.value(), 1U);
  forward_packets(client_, true);
  EXPECT_TRUE(until_true([&] {
    const auto before = client.counters().ring.value();
    return ask() && client.counters().ring.value() == before;
  }));
  const auto another = this->program();
  auto second = client_config();
  second.listen = loopback(relay_port + 9);
  const auto later = run_client(second);
  another.send(second.listen, pattern(10));
  const auto request = service.receive();
  ASSERT_TRUE(request);
  service.send(request->from, pattern(30));
  EXPECT_EQ(another.receive_bytes(), pattern(30));
  EXPECT_EQ(later.counters().ring.value(), 0U);
}

}  // namespace
}  // namespace warren::carrier
