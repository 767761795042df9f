// What comes to the relay through a ring, and what does not, with real sockets.
#include "carrier/relay_testing.h"
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
  for (const std::size_t size : {1473, 1900, 1960, 5000}) {  // fragments, some of which fit whole
    send_request(5, pattern(size), IP_PMTUDISC_DONT);
    expect_once(pattern(size));
  }
  EXPECT_EQ(server.counters().damaged.value(), 0U);
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(server.counters().overrun.value(), 0U);
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
