// Busy conversations of the relay, whose messages take a shortcut, with real sockets.
#include "carrier/relay_testing.h"

namespace warren::carrier {
namespace {

using namespace testing;

class IcmpRelayShortcutTest : public IcmpRelayTest {
 protected:
  // Sends until `relay` says that messages took the shortcut.
  [[nodiscard]] static bool send_until_shortcut(const Runner& relay, const Program& program,
                                                const SocketAddress& to, const Bytes& bytes) {
    const auto before = relay.counters().shortcut.value();
    return until_true([&] {
      for (int i = 0; i < 40; ++i) program.send(to, bytes);
      return relay.counters().shortcut.value() > before;
    });
  }
  // Takes everything that is on its way from `sender`, all of which is `expected`; from whom.
  static std::optional<SocketAddress> drain(const Program& sender, const SocketAddress& to,
                                            const Program& program, const Bytes& expected) {
    const auto last = pattern(33, 9);
    sender.send(to, last);
    for (;;) {
      const auto received = program.receive();
      if (!received) return std::nullopt;
      if (received->bytes == last) return received->from;
      EXPECT_EQ(received->bytes, expected);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpRelayShortcutTest, ::testing::Bool(),
                         [](const auto& family) { return family.param ? "ipv6" : "ipv4"; });

TEST_P(IcmpRelayShortcutTest, BothSidesTakeItAndNothingIsDamaged) {
  const auto [client, server, service, program] = run_both();
  for (const std::size_t size : {0, 1, 148, 777, 1420}) {
    ASSERT_TRUE(send_until_shortcut(client, program, loopback(relay_port), pattern(size))) << size;
    const auto client_of_service = drain(program, loopback(relay_port), service, pattern(size));
    ASSERT_TRUE(client_of_service) << size;
    ASSERT_TRUE(send_until_shortcut(server, service, *client_of_service, pattern(size, 3))) << size;
    ASSERT_TRUE(drain(service, *client_of_service, program, pattern(size, 3))) << size;
  }
  EXPECT_EQ(server.counters().damaged.value(), 0U);
  EXPECT_EQ(client.counters().damaged.value(), 0U);
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(client.counters().failed.value() + client.counters().too_big.value(), 0U);
}

TEST_P(IcmpRelayShortcutTest, WhatLeavesInFragmentsGoesAroundIt) {
  const auto [client, server, service, program] = run_both();
  ASSERT_TRUE(send_until_shortcut(client, program, loopback(relay_port), pattern(1000)));
  for (int i = 0; i < 40; ++i) program.send(loopback(relay_port), pattern(5000));
  EXPECT_TRUE(until_true([&] { return service.receive_bytes() == pattern(5000); }));
  EXPECT_EQ(client.counters().too_big.value(), 0U);
}

TEST_P(IcmpRelayShortcutTest, DeviceMayGoAndReturnWithAnotherAddress) {
  const auto [client, server, service, program] = run_both();
  ASSERT_TRUE(send_until_shortcut(client, program, loopback(relay_port), pattern(100)));
  auto netlink = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_TRUE(netlink.set_up("a", false));
  // These are lost, and end the shortcut.
  for (int i = 0; i < 100; ++i) program.send(loopback(relay_port), pattern(100));
  ASSERT_TRUE(netlink.set_up("a", true));
  const std::string mask = ipv6() ? "/64" : "/24";
  const std::string network = ipv6() ? "fd07::" : "10.7.0.";
  if (!ipv6()) {  // IPv6 addresses vanish with the device
    ASSERT_TRUE(netlink.remove_address("a", *IpPrefix::parse(network + "1" + mask)));
  }
  ASSERT_TRUE(netlink.add_address("a", *IpPrefix::parse(network + "9" + mask)));
  // What was learned with the old address may be used for a moment.
  EXPECT_TRUE(until_true([&] {
    program.send(loopback(relay_port), pattern(20));
    const auto request = service.receive(50ms);
    if (!request || request->bytes != pattern(20)) return false;
    service.send(request->from, pattern(40));
    return program.receive(50ms).has_value();
  }));
  EXPECT_TRUE(send_until_shortcut(client, program, loopback(relay_port), pattern(30)));
}

}  // namespace
}  // namespace warren::carrier
