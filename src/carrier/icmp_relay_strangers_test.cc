// What else arrives where a relay runs: pings, strangers, damage; and what happens when it is gone.
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <sys/wait.h>

#include <csignal>

#include "carrier/echo_diverter.h"
#include "carrier/relay_testing.h"

namespace warren::carrier {
namespace {

using namespace testing;
using ::testing::HasSubstr;

/// Sees every packet of an interface, as tcpdump does.
class Capture {
 public:
  Capture(int netns, const char* device) {
    auto scope = NetnsScope::enter(netns);
    fd_ = Fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_protocol = htons(ETH_P_ALL);
    name.sll_ifindex = static_cast<int>(::if_nametoindex(device));
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }
  struct Echo {
    EchoFields fields;
    bool correct;  // the checksum
    Bytes payload;
  };
  /// The echo messages so far.
  [[nodiscard]] std::vector<Echo> echoes() const {
    std::vector<Echo> out;
    Bytes packet(65536);
    for (;;) {
      const auto size = ::recv(fd_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
      if (size < 0) return out;
      const auto bytes = std::span(packet).first(static_cast<std::size_t>(size));
      const auto fields = read_packet(bytes);
      if (!fields) continue;
      const bool ipv6 = std::to_integer<int>(bytes[0]) >> 4 == 6;
      const auto message = bytes.subspan(ipv6 ? 40 : 20);
      const EchoPath path{ipv6, ipv6 ? wire::sum_bytes(bytes.subspan(8, 32)) : wire::Sum{0}};
      out.push_back({*fields, verify_echo(message, path),
                     Bytes(message.begin() + echo_header_length, message.end())});
    }
  }

 private:
  Fd fd_;
};

TEST_P(IcmpRelayTest, OnTheWireAreCorrectEchoesAndNoneOfTheKernels) {
  const auto [client, server, service, program] = run_both();
  const Capture capture(server_.get(), "b");
  for (std::size_t size = 0; size < 60; ++size) {
    program.send(loopback(relay_port), pattern(size, 1));
    const auto request = service.receive();
    ASSERT_TRUE(request);
    service.send(request->from, pattern(size, 2));
    ASSERT_EQ(program.receive_bytes(), pattern(size, 2));
  }
  std::size_t requests = 0;
  std::size_t replies = 0;
  for (const auto& echo : capture.echoes()) {
    EXPECT_TRUE(echo.correct);
    EXPECT_TRUE(echo.fields.belongs_to(tag));
    const bool request = echo.fields.direction == IcmpDirection::request;
    auto& count = request ? requests : replies;
    EXPECT_EQ(echo.payload, pattern(count, request ? 1 : 2));
    ++count;
  }
  EXPECT_EQ(requests, 60U);
  EXPECT_EQ(replies, 60U) << "the kernel answered as well";
}

TEST_P(IcmpRelayTest, PingsAreAnsweredAsBefore) {
  const auto server = run_server(server_config());
  ASSERT_EQ(server.error(), "");
  const auto pinger = this->pinger();
  for (std::uint16_t i = 1; i <= 50; ++i) {
    pinger.send(server_host(), pinger.request(ordinary, i, pattern(i)));
    EXPECT_EQ(pinger.reply(i), pattern(i)) << i;
  }
  EXPECT_EQ(server.counters().pings.value(), 0U) << "the kernel answers these";
  // One that has our tag by chance.
  pinger.send(server_host(), pinger.request(tag, 77, pattern(56)));
  EXPECT_EQ(pinger.reply(77), pattern(56));
  EXPECT_EQ(server.counters().pings.value(), 1U);
}

TEST_P(IcmpRelayTest, OnlyAHandshakeOpensAConversation) {
  const auto client = run_client(client_config());
  const auto server = run_server(server_config());
  const auto service = this->service();
  const auto program = this->program();
  program.send(loopback(relay_port), pattern(148));
  EXPECT_TRUE(until_true([&] { return server.counters().pings.value() == 1; }));
  program.send(loopback(relay_port), initiation());
  program.send(loopback(relay_port), pattern(32));
  EXPECT_EQ(service.receive_bytes(), initiation());
  EXPECT_EQ(service.receive_bytes(), pattern(32));
}

TEST_P(IcmpRelayTest, UsersMayBeTiedToANetwork) {
  auto config = open_server_config();
  config.from = IpPrefix::parse(ipv6() ? "fd07::8/125" : "10.7.0.8/29").value();
  const auto client = run_client(client_config());
  const auto server = run_server(config);
  const auto service = this->service();
  const auto program = this->program();
  program.send(loopback(relay_port), pattern(10));
  EXPECT_TRUE(until_true([&] { return server.counters().pings.value() == 1; }));
  auto netlink = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_TRUE(netlink.remove_address("a", *IpPrefix::parse(ipv6() ? "fd07::1/64" : "10.7.0.1/24")));
  ASSERT_TRUE(netlink.add_address("a", *IpPrefix::parse(ipv6() ? "fd07::f/64" : "10.7.0.15/24")));
  const auto request = send_until_received(program, loopback(relay_port), pattern(20), service);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->bytes, pattern(20));
}

TEST_P(IcmpRelayTest, DamagedMessagesReachNobody) {
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const auto pinger = this->pinger();
  if (!ipv6()) {  // a raw ICMPv6 socket sends correct checksums only
    auto damaged = pinger.request(tag, 5, pattern(100));
    damaged[50] ^= std::byte{1};
    pinger.send(server_host(), damaged);
    EXPECT_TRUE(until_true([&] { return server.counters().damaged.value() == 1; }));
  }
  // Shorter than a header; other types; a code.
  for (std::size_t size = 4; size < 8; ++size) {
    auto cut = pinger.request(tag, 5, {});
    cut.resize(size);
    pinger.send(server_host(), cut);
  }
  auto other = pinger.request(tag, 5, pattern(100));
  other[0] = std::byte{13};
  pinger.send(server_host(), other);
  auto coded = pinger.request(tag, 5, pattern(100));
  coded[1] = std::byte{9};
  pinger.send(server_host(), coded);
  pinger.send(server_host(), pinger.request(tag, 6, pattern(33)));
  EXPECT_EQ(service.receive_bytes(), pattern(33)) << "what came before was all dropped";
}

TEST_P(IcmpRelayTest, RepliesFromElsewhereAreNotOurs) {
  const auto [client, server, service, program] = run_both();
  const Capture capture(server_.get(), "b");
  program.send(loopback(relay_port), pattern(10));
  ASSERT_EQ(service.receive_bytes(), pattern(10));
  const auto seen = capture.echoes();
  ASSERT_EQ(seen.size(), 1U);
  auto netlink = std::move(*netlink::Socket::open(server_.get()));
  const Pinger other(server_.get(), ipv6());
  // Of an identifier that nobody has.
  Bytes forged(echo_header_length);
  write_echo_header(forged.data(),
                    {.direction = IcmpDirection::reply,
                     .identifier = static_cast<std::uint16_t>(seen[0].fields.identifier + 1)},
                    tag, {.ipv6 = ipv6()}, 0, 0);
  other.send(ipv6() ? "fd07::1" : "10.7.0.1", forged);
  EXPECT_TRUE(until_true([&] { return client.counters().unknown.value() == 1; }));
  // Of ours, from another address.
  ASSERT_TRUE(netlink.remove_address("b", *IpPrefix::parse(ipv6() ? "fd07::2/64" : "10.7.0.2/24")));
  ASSERT_TRUE(netlink.add_address("b", *IpPrefix::parse(ipv6() ? "fd07::3/64" : "10.7.0.3/24")));
  write_echo_header(forged.data(),
                    {.direction = IcmpDirection::reply, .identifier = seen[0].fields.identifier},
                    tag, {.ipv6 = ipv6()}, 0, 0);
  EXPECT_TRUE(until_true([&] {
    other.send(ipv6() ? "fd07::1" : "10.7.0.1", forged);
    return client.counters().unknown.value() >= 2;
  }));
  EXPECT_FALSE(program.receive(0ms));
}

// The kernel answers again what nobody takes from it any more.
TEST_P(IcmpRelayTest, KilledServerLeavesNothingBehind) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool made = enter_netns(server_.get()) && EchoDiverter::create({&tag, 1}).has_value();
    // The object is gone already: make one that stays.
    static auto diverter = EchoDiverter::create({&tag, 1});
    [[maybe_unused]] const auto told = ::write(ready[1], made && diverter ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const auto pinger = this->pinger();
  pinger.send(server_host(), pinger.request(tag, 5, pattern(10)));
  pinger.send(server_host(), pinger.request(ordinary, 6, pattern(20)));
  EXPECT_EQ(pinger.reply(6), pattern(20)) << "the second is answered, the first was not";
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(until_true([&] {
    pinger.send(server_host(), pinger.request(tag, 7, pattern(30)));
    return pinger.reply(7, 100ms) == pattern(30);
  }));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_P(IcmpRelayTest, NameIsLookedUpAgainWhenTheServerIsSilent) {
  char hosts[] = "/tmp/warren-hosts-XXXXXX";
  const Fd file(::mkstemp(hosts));
  ASSERT_TRUE(file);
  const auto say = [&](const std::string& ip) {
    const auto line = ip + " relay.test\n";
    ASSERT_EQ(::ftruncate(file.get(), 0), 0);
    ASSERT_EQ(::pwrite(file.get(), line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
  };
  say(ipv6() ? "fd07::66" : "10.7.0.66");
  auto config = client_config();
  config.ticket.server.host = "relay.test";
  config.silence = 50ms;
  const Runner client(client_.get(), [config, &hosts](Loop& loop) {
    // The thread's own view of the files.
    EXPECT_EQ(::unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    EXPECT_EQ(::mount(hosts, "/etc/hosts", nullptr, MS_BIND, nullptr), 0);
    return start_icmp_relay_client(loop, config);
  });
  ASSERT_EQ(client.error(), "");
  const auto server = run_server(open_server_config());
  const auto service = this->service();
  const auto program = this->program();
  EXPECT_TRUE(until_true([&] {  // it has the address, and nobody is there
    program.send(loopback(relay_port), pattern(1));
    return client.counters().out_packets.value() > 0;
  }));
  say(server_host());
  EXPECT_TRUE(until_true([&] {
    program.send(loopback(relay_port), pattern(2));
    return service.receive(10ms).has_value();
  }));
  ::unlink(hosts);
}

TEST_P(IcmpRelayTest, MistakesAreNamed) {
  auto config = client_config();
  config.listen = address(ipv6() ? "fd99::1" : "192.0.2.1", relay_port);
  EXPECT_THAT(run_client(config).error(), HasSubstr("no interface has this address"));
  const auto first = run_client(client_config());
  EXPECT_THAT(run_client(client_config()).error(), HasSubstr("another program has the port"));
}

}  // namespace
}  // namespace warren::carrier
