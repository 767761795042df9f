// The carrier as a whole, with real packets between two hosts (namespaces) on one wire, which is
// watched: what leaves in a carried flow is ICMP, and never UDP.
#include "carrier/icmp_carrier.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "carrier/bpf_link.h"
#include "carrier/clsact.h"
#include "linux/netns.h"
#include "wire/bytes.h"

namespace warren::carrier {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

#define ASSERT_OK(expression)                      \
  do {                                             \
    const auto& result = (expression);             \
    ASSERT_TRUE(result) << result.error().message; \
  } while (false)

/// A datagram socket of a host. Timeouts are long: they only bound a failure.
class Udp {
 public:
  Udp(int netns, const std::string& address, std::uint16_t port) {
    const auto scope = NetnsScope::enter(netns);
    const auto [family, size] = fill(address, port);
    fd_ = Fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address_), size), 0) << address;
  }
  bool send(const std::string& text, const std::string& address, std::uint16_t port) {
    const auto [family, size] = fill(address, port);
    return ::sendto(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address_),
                    size) >= 0;
  }
  /// Nothing where none comes.
  std::string receive(int milliseconds = 5000) {
    pollfd ready{fd_.get(), POLLIN, 0};
    if (::poll(&ready, 1, milliseconds) != 1) return {};
    std::string text(2000, '\0');
    peer_size_ = sizeof peer_;
    const auto got = ::recvfrom(fd_.get(), text.data(), text.size(), 0,
                                reinterpret_cast<sockaddr*>(&peer_), &peer_size_);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  void answer(const std::string& text) {
    EXPECT_GE(::sendto(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer_),
                       peer_size_),
              0);
  }

 private:
  std::pair<int, socklen_t> fill(const std::string& text, std::uint16_t port) {
    const auto address = *IpAddress::parse(text);
    address_ = {};
    if (address.ipv6) {
      auto* six = reinterpret_cast<sockaddr_in6*>(&address_);
      six->sin6_family = AF_INET6;
      six->sin6_port = htons(port);
      std::memcpy(&six->sin6_addr, address.bytes.data(), 16);
      return {AF_INET6, sizeof *six};
    }
    auto* four = reinterpret_cast<sockaddr_in*>(&address_);
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    std::memcpy(&four->sin_addr, address.bytes.data(), 4);
    return {AF_INET, sizeof *four};
  }
  Fd fd_;
  sockaddr_storage address_{}, peer_{};
  socklen_t peer_size_ = 0;
};

/// Sees every frame on a device, as it is on the wire.
class Wire {
 public:
  Wire(int netns, const std::string& device) {
    const auto scope = NetnsScope::enter(netns);
    fd_ = Fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    const int room = 64 << 20;  // nothing gets lost under load
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = *netlink::Socket::open()->index(device);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  /// How many packets of each IP protocol came since the last time.
  std::map<int, int> count() {
    std::map<int, int> protocols;
    std::array<std::uint8_t, 2048> packet{};
    while (::recv(fd_.get(), packet.data(), packet.size(), 0) > 0)
      ++protocols[packet[0] >> 4 == 4 ? packet[9] : packet[6]];
    return protocols;
  }

 private:
  Fd fd_;
};

class IcmpCarrierTest : public ::testing::Test {
 protected:
  template <class Act>
  static auto at(const Fd& host, Act act) {
    const auto scope = NetnsScope::enter(host.get());
    EXPECT_TRUE(scope);
    return act();
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces and load programs";
    for (auto* host : {&client_, &server_}) {
      auto made = create_netns();
      ASSERT_TRUE(made) << made.error().message;
      *host = std::move(*made);
    }
    auto client = std::move(*netlink::Socket::open(client_.get()));
    auto server = std::move(*netlink::Socket::open(server_.get()));
    ASSERT_OK(client.create_veth({.name = "c0", .peer_name = "s0", .peer_netns = server_.get()}));
    set_up(client, "c0", "1");
    set_up(server, "s0", "2");
    wire_.emplace(server_.get(), "s0");
  }
  void TearDown() override {
    for (auto* host : {&client_, &server_})
      if (*host)
        at(*host, [] {
          auto carrier = IcmpCarrier::find(BpfPins::Access::change);
          if (!carrier || !*carrier) return;
          EXPECT_TRUE((*carrier)->remove_everything());
        });
  }

  static void set_up(netlink::Socket& socket, const std::string& device,
                     const std::string& number) {
    ASSERT_OK(socket.set_up("lo", true));
    ASSERT_OK(socket.set_up(device, true));
    ASSERT_OK(socket.add_address(device, *IpPrefix::parse("10.9.0." + number + "/24")));
    ASSERT_OK(socket.add_address(device, *IpPrefix::parse("fd09::" + number + "/64")));
  }
  static int shell(const Fd& host, const std::string& command) {
    return at(host, [&] { return std::system(command.c_str()); });
  }

  void serve(const std::string& name, std::uint16_t tag, std::uint16_t port,
             const IcmpDeviceOptions& options = {}) {
    at(server_, [&] {
      auto carrier = IcmpCarrier::open();
      ASSERT_OK(carrier);
      const IcmpUser user{.name = name, .tag = {tag}, .port = port, .any_first = true};
      ASSERT_OK(carrier->with_devices({"s0"}, options, [&] { return carrier->add_user(user); }));
    });
  }
  static IcmpServer target(const std::string& address, std::uint16_t tag, std::uint16_t port) {
    return {.address = *IpAddress::parse(address), .port = port, .tag = {tag}};
  }
  void connect(const std::string& address, std::uint16_t tag, std::uint16_t port,
               const IcmpDeviceOptions& options = {}) {
    at(client_, [&] {
      auto carrier = IcmpCarrier::open();
      ASSERT_OK(carrier);
      ASSERT_OK(carrier->with_devices(
          {"c0"}, options, [&] { return carrier->add_server(target(address, tag, port)); }));
    });
  }
  IcmpState state(const Fd& host) {
    return at(host, [] {
      auto carrier = IcmpCarrier::find(BpfPins::Access::read);
      return carrier && *carrier ? *(*carrier)->state() : IcmpState{};
    });
  }
  /// A question and its answer.
  void expect_exchange(const std::string& address, std::uint16_t port,
                       const std::string& from = "10.9.0.1", std::uint16_t from_port = 0) {
    Udp server(server_.get(), address, port);
    Udp client(client_.get(), from, from_port);
    ASSERT_TRUE(client.send("question", address, port));
    ASSERT_EQ(server.receive(), "question");
    server.answer("answer");
    ASSERT_EQ(client.receive(), "answer");
  }
  void expect_nothing_left(const Fd& host, const std::string& device) {
    at(host, [&] {
      const auto pins = BpfPins::open("icmp-v2", BpfPins::Access::read);
      ASSERT_OK(pins);
      EXPECT_FALSE(std::filesystem::exists(pins->directory()));
      std::vector<std::string> names;
      const auto links = netlink::Socket::open()->links();
      for (const auto& link : *links) names.push_back(link.name);
      EXPECT_THAT(names, ::testing::UnorderedElementsAre("lo", device));
    });
  }

  void expect_removed_with_the_namespace(Tcx tcx) {
    IcmpDeviceOptions options;
    options.tcx = tcx;
    serve("alice", 0x3fa2, 5000, options);
    const auto directory =
        at(server_, [] { return BpfPins::open("icmp-v2", BpfPins::Access::read)->directory(); });
    ASSERT_TRUE(std::filesystem::exists(directory));
    wire_.reset();
    server_ = Fd{};
    // The kernel takes a namespace down some time after its last reference.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::filesystem::exists(directory) && std::chrono::steady_clock::now() < deadline) {
      at(client_, [] { EXPECT_TRUE(BpfPins::open("icmp-v2", BpfPins::Access::change)); });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_FALSE(std::filesystem::exists(directory));
  }

  Fd client_, server_;
  std::optional<Wire> wire_;
};

TEST_F(IcmpCarrierTest, CarriesBothWaysBesidePings) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  connect("fd09::2", 0x3fa2, 5000);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("fd09::2", 5000, "fd09::1");
  auto seen = wire_->count();
  EXPECT_EQ(seen[IPPROTO_UDP], 0);
  EXPECT_GE(seen[IPPROTO_ICMP], 2);
  EXPECT_GE(seen[IPPROTO_ICMPV6], 2);
  EXPECT_EQ(shell(client_, "ping -q -c 3 -i 0.01 -w 5 10.9.0.2 >/dev/null"), 0);
  EXPECT_EQ(shell(client_, "ping -q -c 3 -i 0.01 -w 5 fd09::2 >/dev/null"), 0);
  const auto served = state(server_);
  ASSERT_EQ(served.users.size(), 1U);
  EXPECT_EQ(served.users[0].counts.rx_packets, 2U);
  EXPECT_EQ(served.users[0].sessions, 2U);
  EXPECT_TRUE(served.guarded) << served.guard_note;
  EXPECT_THAT(served.devices.at(0).checksum.reason, HasSubstr("veth"));
}

TEST_F(IcmpCarrierTest, TwoUsersTwoPortsAndBothRoles) {
  serve("alice", 0x3fa2, 5000);
  serve("bob", 0x0001, 6000);
  connect("10.9.0.2", 0x3fa2, 5000);
  connect("10.9.0.2", 0x0001, 6000);
  // The other way round as well.
  at(client_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    ASSERT_OK(
        carrier->add_user({.name = "carol", .tag = {0x3fa2}, .port = 7000, .any_first = true}));
  });
  at(server_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 0x3fa2, 7000)));
  });
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("10.9.0.2", 6000);
  std::swap(client_, server_);
  expect_exchange("10.9.0.1", 7000, "10.9.0.2");
  std::swap(client_, server_);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, RemovedFlowsArePlainAgain) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  expect_exchange("10.9.0.2", 5000);
  at(client_, [] {
    ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))
                  ->remove_server(target("10.9.0.2", 0x3fa2, 5000)));
  });
  at(server_, [] {
    auto carrier = IcmpCarrier::find(BpfPins::Access::change);
    ASSERT_OK((*carrier)->remove_user((*carrier)->users()->front()));
    EXPECT_EQ((*carrier)->state()->sessions, 0U);
  });
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_GE(wire_->count()[IPPROTO_UDP], 2);
}

TEST_F(IcmpCarrierTest, OthersCannotOpenTheFlow) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  if (state(client_).devices.at(0).egress != "tcx") GTEST_SKIP() << "this kernel has no tcx (6.6)";
  ASSERT_EQ(shell(client_, "tc qdisc replace dev c0 clsact && tc qdisc del dev c0 clsact"), 0);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, DetachUnderLoadStaysClosedAndLeavesNothing) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  std::atomic<bool> stop = false;
  std::atomic<int> sent = 0;
  std::thread load([&] {
    Udp socket(client_.get(), "10.9.0.1", 0);
    while (!stop) sent += socket.send("load", "10.9.0.2", 5000) ? 1 : 0;
  });
  const auto wait_for_load = [&] {
    for (const int enough = sent + 50; sent < enough;) std::this_thread::yield();
  };
  wait_for_load();
  at(client_, [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->detach("c0")); });
  // The guard refuses what local sockets send now, so `sent` stands still.
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  while (state(client_).drops["not_attached"] < 50) std::this_thread::yield();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  connect("10.9.0.2", 0x3fa2, 5000);
  wait_for_load();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  at(client_,
     [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->remove_everything()); });
  expect_nothing_left(client_, "c0");
  wait_for_load();
  stop = true;
  load.join();
  EXPECT_GT(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, AnotherBuildReplacesProgramsWithoutAnOpenMoment) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  std::atomic<bool> stop = false;
  std::thread load([&] {
    Udp socket(client_.get(), "10.9.0.1", 0);
    while (!stop) socket.send("load", "10.9.0.2", 5000);
  });
  std::uint32_t before = 0;
  at(client_, [&] {
    auto pins = BpfPins::open("icmp-v2", BpfPins::Access::change);
    ASSERT_OK(pins);
    before = read_link(pins->get("link-guard")->get())->program;
    // As if the programs that are attached were of an older build.
    for (const auto& name : pins->names("program-")) {
      const auto program = pins->get(name);
      ASSERT_OK(pins->remove(name));
      ASSERT_OK(pins->pin("program-0" + name.substr(9), program->get()));
    }
  });
  at(client_, [] { ASSERT_OK(IcmpCarrier::open()); });
  at(client_, [&] {
    auto pins = BpfPins::open("icmp-v2", BpfPins::Access::read);
    EXPECT_NE(read_link(pins->get("link-guard")->get())->program, before);
    EXPECT_THAT(pins->names("program-"), ::testing::SizeIs(4));
  });
  stop = true;
  load.join();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  expect_exchange("10.9.0.2", 5000);
}

TEST_F(IcmpCarrierTest, ClosedOnDevicesThatAreNotAttached) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  // The route moves to another wire.
  auto client = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_OK(client.create_veth({.name = "c1", .peer_name = "s1", .peer_netns = server_.get()}));
  auto server = std::move(*netlink::Socket::open(server_.get()));
  ASSERT_OK(server.set_up("s1", true));
  ASSERT_OK(client.set_up("c1", true));
  ASSERT_OK(client.add_route("c1", {*IpPrefix::parse("10.9.0.2/32"), {}, {}}));
  Udp socket(client_.get(), "10.9.0.1", 0);
  EXPECT_FALSE(socket.send("x", "10.9.0.2", 5000));
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(state(client_).drops["not_attached"], 1U);
}

TEST_F(IcmpCarrierTest, VanishedDevicesAreAttachedAgain) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  auto client = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_OK(client.delete_link("c0"));
  EXPECT_EQ(state(client_).devices.at(0).name, "");
  ASSERT_OK(client.create_veth({.name = "c0", .peer_name = "s0", .peer_netns = server_.get()}));
  auto server = std::move(*netlink::Socket::open(server_.get()));
  set_up(client, "c0", "1");
  set_up(server, "s0", "2");
  wire_.emplace(server_.get(), "s0");
  Udp socket(client_.get(), "10.9.0.1", 0);
  EXPECT_FALSE(socket.send("x", "10.9.0.2", 5000));
  at(server_, [] { ASSERT_OK(IcmpCarrier::open()->attach("s0", {})); });
  connect("10.9.0.2", 0x3fa2, 5000);
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  EXPECT_EQ(state(client_).devices.size(), 1U);
}

TEST_F(IcmpCarrierTest, WhatFailsLeavesNothing) {
  at(client_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    auto done = carrier->attach("nope", {});
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("find network device nope"));
    done = carrier->with_devices({"c0", "nope"}, {}, [] { return Result<>{}; });
    EXPECT_FALSE(done);
    done = carrier->with_devices({"c0"}, {}, []() -> Result<> { return fail("no"); });
    EXPECT_FALSE(done);
  });
  expect_nothing_left(client_, "c0");
}

TEST_F(IcmpCarrierTest, RefusesWhatIsTaken) {
  serve("alice", 0x3fa2, 5000);
  at(server_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    auto done = carrier->add_user({.name = "bob", .tag = {0x3fa2}, .port = 5000});
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("taken, by alice"));
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7000)));
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7000)));
    done = carrier->add_server(target("10.9.0.1", 8, 7000));
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("carried already, with tag 0007"));
    done = carrier->add_server(target("10.9.0.1", 7, 7001));
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("in use for port 7000"));
    ASSERT_OK(carrier->set_server(target("10.9.0.1", 8, 7000)));
    EXPECT_EQ(carrier->servers()->front().tag, Tag{8});
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7001)));
  });
}

TEST_F(IcmpCarrierTest, ClsactLeavesOthersAlone) {
  IcmpDeviceOptions options;
  options.tcx = Tcx::avoid;
  serve("alice", 0x3fa2, 5000, options);
  const auto there = state(server_).devices.at(0);
  EXPECT_EQ(there.egress, "clsact");
  EXPECT_THAT(there.notes, Contains(HasSubstr("deletes the qdisc")));
  // Somebody else's filter: any program but ours will do.
  Fd other;
  at(server_, [&] {
    const auto pins = BpfPins::open("icmp-v2", BpfPins::Access::read);
    for (const auto& name : pins->names("program-"))
      if (name.ends_with("-restore")) other = std::move(*pins->get(name));
  });
  const int c0 = at(client_, [] { return *netlink::Socket::open()->index("c0"); });
  at(client_, [&] {
    ASSERT_OK(clsact::create(c0));
    ASSERT_OK(clsact::add(c0, true, other.get()));
  });
  connect("10.9.0.2", 0x3fa2, 5000, options);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  for (const auto* host : {&client_, &server_})
    at(*host,
       [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->remove_everything()); });
  EXPECT_TRUE(at(client_, [&] { return clsact::find(c0, true, other.get()).has_value(); }));
  EXPECT_EQ(shell(client_, "tc qdisc show dev c0 | grep -q clsact"), 0);
  EXPECT_NE(shell(server_, "tc qdisc show dev s0 | grep -q clsact"), 0);
  expect_nothing_left(client_, "c0");
  expect_nothing_left(server_, "s0");
}

TEST_F(IcmpCarrierTest, SaysWhereClsactWasDeletedAndRepairsIt) {
  IcmpDeviceOptions options;
  options.tcx = Tcx::avoid;
  serve("alice", 0x3fa2, 5000, options);
  connect("10.9.0.2", 0x3fa2, 5000, options);
  ASSERT_EQ(shell(client_, "tc qdisc del dev c0 clsact"), 0);
  EXPECT_THAT(state(client_).devices.at(0).notes, Contains(HasSubstr("removed by somebody")));
  connect("10.9.0.2", 0x3fa2, 5000, options);
  EXPECT_EQ(state(client_).devices.at(0).egress, "clsact");
  expect_exchange("10.9.0.2", 5000);
}

TEST_F(IcmpCarrierTest, TakesXdpWhereNobodyElseIs) {
  IcmpDeviceOptions options;
  options.xdp = true;
  serve("alice", 0x3fa2, 5000, options);
  EXPECT_EQ(state(server_).devices.at(0).ingress, "xdp");
  connect("10.9.0.2", 0x3fa2, 5000);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, PinsOfANamespaceThatIsGoneAreRemoved) {
  expect_removed_with_the_namespace(Tcx::use);
}

TEST_F(IcmpCarrierTest, PinsOfANamespaceThatIsGoneAreRemovedWithoutTcxToo) {
  expect_removed_with_the_namespace(Tcx::avoid);
}

}  // namespace
}  // namespace warren::carrier
