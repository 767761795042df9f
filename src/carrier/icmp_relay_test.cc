// What the relay carries, with real sockets.
#include "carrier/relay_testing.h"

namespace warren::carrier {
namespace {

using namespace testing;

// For every file of the relay's tests.
INSTANTIATE_TEST_SUITE_P(Family, IcmpRelayTest, ::testing::Bool(),
                         [](const auto& family) { return family.param ? "ipv6" : "ipv4"; });

TEST_P(IcmpRelayTest, DatagramsOfEveryLengthGoThereAndBack) {
  const auto client = run_client(client_config());
  ASSERT_EQ(client.error(), "");
  const auto server = run_server(server_config());
  ASSERT_EQ(server.error(), "");
  const auto service = this->service();
  const auto program = this->program();
  program.send(loopback(relay_port), initiation());
  auto first = service.receive();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->bytes, initiation());
  for (std::size_t size = 0; size <= 1472; size += 1 + size / 40) {
    program.send(loopback(relay_port), pattern(size, 1));
    ASSERT_EQ(service.receive_bytes(), pattern(size, 1)) << size;
    service.send(first->from, pattern(size, 2));
    const auto answer = program.receive();
    ASSERT_TRUE(answer) << size;
    ASSERT_EQ(answer->bytes, pattern(size, 2)) << size;
    EXPECT_EQ(answer->from, loopback(relay_port));
  }
  // Larger than the path takes in one piece.
  program.send(loopback(relay_port), pattern(20000));
  EXPECT_EQ(service.receive_bytes(), pattern(20000));
  EXPECT_EQ(server.counters().damaged.value(), 0U);
  EXPECT_EQ(server.counters().opened.value(), 1U);
  EXPECT_EQ(client.counters().failed.value(), 0U);
}

TEST_P(IcmpRelayTest, SuperPacketsAreCutAndGatheredAgain) {
  const auto [client, server, service, program] = run_both();
  const auto bytes = pattern(10 * 1420 + 99);
  program.send_segmented(loopback(relay_port), bytes, 1420);
  for (std::size_t at = 0; at < bytes.size(); at += 1420) {
    const Bytes expected(
        bytes.begin() + static_cast<std::ptrdiff_t>(at),
        bytes.begin() + static_cast<std::ptrdiff_t>(std::min(at + 1420, bytes.size())));
    ASSERT_EQ(service.receive_bytes(), expected) << at;
  }
  EXPECT_TRUE(until_true([&] { return server.counters().in_packets.value() == 11; }));
  EXPECT_TRUE(until_true([&] { return client.counters().out_packets.value() == 11; }));
}

TEST_P(IcmpRelayTest, ConversationsStayApart) {
  const auto client = run_client(client_config());
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  std::vector<Program> programs;
  for (unsigned i = 0; i < 200; ++i) {
    programs.push_back(program());
    programs.back().send(loopback(relay_port), pattern(100, i));
  }
  // The service answers each with its own bytes.
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const auto request = service.receive();
    ASSERT_TRUE(request);
    service.send(request->from, request->bytes);
  }
  for (unsigned i = 0; i < programs.size(); ++i)
    EXPECT_EQ(programs[i].receive_bytes(), pattern(100, i)) << i;
  EXPECT_EQ(server.counters().opened.value(), programs.size());
}

/// Each user has a service, and each with the same identifier and from the same address is somebody
/// else.
TEST_P(IcmpRelayTest, SeveralUsersHaveAPortEach) {
  const Program first(server_.get(), loopback(1001));
  const Program second(server_.get(), loopback(1002));
  const Program third(server_.get(), loopback(1003));
  auto config = open_server_config();
  config.users = {{tag, loopback(1001)},
                  {{.value = 7, .profile = Profile::tutu}, loopback(1002)},
                  {{.value = 0x0100}, loopback(1003)}};
  const auto server = run_server(config);
  ASSERT_EQ(server.error(), "");
  const auto pinger = this->pinger();
  const std::vector<const Program*> services = {&first, &second, &third};
  for (std::size_t user = 0; user < services.size(); ++user) {
    const auto size = 10 + user;
    pinger.send(server_host(), pinger.request(config.users[user].tag, 5, pattern(size)));
    const auto request = services[user]->receive();
    ASSERT_TRUE(request) << user;
    EXPECT_EQ(request->bytes, pattern(size));
    services[user]->send(request->from, pattern(size + 100));
    EXPECT_EQ(pinger.reply(5), pattern(size + 100));
  }
  EXPECT_EQ(server.counters().opened.value(), 3U);
  // Tags that are nobody's are pings, which the kernel answers.
  pinger.send(server_host(), pinger.request({.value = 0x0200}, 5, pattern(40)));
  EXPECT_EQ(pinger.reply(5), pattern(40));
  EXPECT_EQ(server.counters().pings.value(), 0U);
}

TEST_P(IcmpRelayTest, ManyUsersAreServedAndTooManyRefused) {
  const auto service = this->service();
  auto config = open_server_config();
  config.users.clear();
  for (std::uint16_t n = 1; n <= IcmpRelayServerConfig::max_users; ++n)
    config.users.push_back({{.value = n}, loopback(service_port)});
  {
    const auto server = run_server(config);
    ASSERT_EQ(server.error(), "");
    const auto pinger = this->pinger();
    for (std::uint16_t n = 1; n <= 1000; n = static_cast<std::uint16_t>(n + 333)) {
      pinger.send(server_host(), pinger.request({.value = n}, 5, pattern(n)));
      EXPECT_EQ(service.receive_bytes(), pattern(n));
    }
  }
  config.users.push_back({{.value = 0x3000}, loopback(service_port)});
  EXPECT_THAT(run_server(config).error(), ::testing::HasSubstr("1001 users are too many"));
  config.users = {{tag, loopback(1)}, {tag, loopback(2)}};
  EXPECT_THAT(run_server(config).error(), ::testing::HasSubstr("two users have the tag 3fa2"));
}

TEST_P(IcmpRelayTest, EitherSideMayRestart) {
  auto client = run_client(client_config());
  const auto service = this->service();
  const auto program = this->program();
  {
    const auto server = run_server(open_server_config());
    program.send(loopback(relay_port), pattern(10));
    EXPECT_EQ(service.receive_bytes(), pattern(10));
  }
  const auto server = run_server(open_server_config());
  program.send(loopback(relay_port), pattern(20));
  EXPECT_EQ(service.receive_bytes(), pattern(20));
  client.stop();
  const auto again = run_client(client_config());
  ASSERT_EQ(again.error(), "");
  program.send(loopback(relay_port), pattern(30));
  const auto request = service.receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bytes, pattern(30));
  service.send(request->from, pattern(40));
  EXPECT_EQ(program.receive_bytes(), pattern(40));
}

TEST_P(IcmpRelayTest, ClientMayChangeItsAddress) {
  const auto [client, server, service, program] = run_both();
  program.send(loopback(relay_port), pattern(10));
  EXPECT_EQ(service.receive_bytes(), pattern(10));
  auto netlink = std::move(*netlink::Socket::open(client_.get()));
  const std::string mask = ipv6() ? "/64" : "/24";
  const std::string network = ipv6() ? "fd07::" : "10.7.0.";
  ASSERT_TRUE(netlink.remove_address("a", *IpPrefix::parse(network + "1" + mask)));
  ASSERT_TRUE(netlink.add_address("a", *IpPrefix::parse(network + "9" + mask)));
  const auto request = send_until_received(program, loopback(relay_port), pattern(20), service);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bytes, pattern(20));
  service.send(request->from, pattern(30));
  EXPECT_EQ(program.receive_bytes(), pattern(30));
  EXPECT_EQ(server.counters().opened.value(), 2U);
}

TEST_P(IcmpRelayTest, FullTableKeepsWhatIsAnsweredAndAgesTheRest) {
  auto config = open_server_config();
  config.limits = {.conversations = 2, .idle = 500ms};
  const auto client = run_client(client_config());
  const auto server = run_server(config);
  const auto service = this->service();
  const Program one = program(), two = program(), three = program();
  // Nobody answers `one`: it makes room for `three`.
  one.send(loopback(relay_port), pattern(1));
  ASSERT_EQ(service.receive_bytes(), pattern(1));
  two.send(loopback(relay_port), pattern(2));
  auto request = service.receive();
  ASSERT_TRUE(request);
  service.send(request->from, pattern(22));
  ASSERT_EQ(two.receive_bytes(), pattern(22));
  three.send(loopback(relay_port), pattern(3));
  request = service.receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bytes, pattern(3));
  EXPECT_EQ(server.counters().evicted.value(), 1U);
  service.send(request->from, pattern(33));
  ASSERT_EQ(three.receive_bytes(), pattern(33));
  // Both that are left are answered: nobody else comes in until they are over.
  one.send(loopback(relay_port), pattern(1));
  EXPECT_TRUE(until_true([&] {
    return server.counters().table_full.value() + server.counters().expired.value() > 0;
  }));
  EXPECT_TRUE(until_true([&] { return server.counters().expired.value() == 2; }));
  one.send(loopback(relay_port), pattern(4));
  for (auto bytes = service.receive_bytes(); bytes != pattern(4); bytes = service.receive_bytes())
    ASSERT_FALSE(bytes.empty());
}

TEST_P(IcmpRelayTest, ClientsTableIsBoundedToo) {
  auto config = client_config();
  config.limits.conversations = 1;
  const auto client = run_client(config);
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const Program one = program(), two = program();
  one.send(loopback(relay_port), pattern(1));
  auto request = service.receive();
  ASSERT_TRUE(request);
  service.send(request->from, pattern(11));
  ASSERT_EQ(one.receive_bytes(), pattern(11));
  two.send(loopback(relay_port), pattern(2));
  EXPECT_TRUE(until_true([&] { return client.counters().table_full.value() == 1; }));
  one.send(loopback(relay_port), pattern(3));
  EXPECT_EQ(service.receive_bytes(), pattern(3));
}

TEST_P(IcmpRelayTest, WildcardListenerAnswersFromWhereItWasAsked) {
  auto config = client_config();
  config.listen = address(ipv6() ? "::" : "0.0.0.0", relay_port);
  auto netlink = std::move(*netlink::Socket::open(client_.get()));
  const std::string other = ipv6() ? "fd77::1" : "127.0.0.9";
  if (ipv6()) {  // all of 127.0.0.0/8 is there already
    ASSERT_TRUE(netlink.add_address("lo", *IpPrefix::parse(other + "/128")));
  }
  const auto client = run_client(config);
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const auto program = this->program();
  const auto request =
      send_until_received(program, address(other, relay_port), pattern(10), service);
  ASSERT_TRUE(request);
  service.send(request->from, pattern(20));
  const auto answer = program.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->from, address(other, relay_port));
}

TEST_P(IcmpRelayTest, ProfileOfTutuicmptunnel) {
  auto client_side = client_config();
  auto server_side = open_server_config();
  client_side.ticket.tag = server_side.users[0].tag = {.value = 7, .profile = Profile::tutu};
  const auto client = run_client(client_side);
  const auto server = run_server(server_side);
  const auto service = this->service();
  const auto program = this->program();
  program.send(loopback(relay_port), pattern(101));
  const auto request = service.receive();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bytes, pattern(101));
  service.send(request->from, pattern(102));
  EXPECT_EQ(program.receive_bytes(), pattern(102));
}

}  // namespace
}  // namespace warren::carrier
