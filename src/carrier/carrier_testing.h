/// For tests of the carrier as a whole: a client and a server (namespaces) on one wire, which is watched.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "carrier/icmp_carrier.h"
#include "linux/netns.h"
#include "wire/bytes.h"

namespace warren::carrier::testing {

#define ASSERT_OK(expression)                      \
  do {                                             \
    const auto& result = (expression);             \
    ASSERT_TRUE(result) << result.error().message; \
  } while (false)

inline std::string pins_name() { return fmt::format("icmp-v{}", ICMP_ABI_VERSION); }

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
  /// What is longer is sent as so many datagrams, in one super-packet.
  void segment(int size) {
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_UDP, UDP_SEGMENT, &size, sizeof size), 0);
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
  struct Frame {
    int ethertype = 0;
    int protocol = 0;      ///< of IP
    std::size_t size = 0;  ///< of the IP packet
  };
  Wire(int netns, const std::string& device) {
    const auto scope = NetnsScope::enter(netns);
    fd_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    const int room = 64 << 20;  // nothing gets lost under load
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = *netlink::Socket::open()->index(device);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  /// What came since the last time.
  std::vector<Frame> frames() {
    std::vector<Frame> seen;
    std::array<std::uint8_t, 2048> frame{};
    for (;;) {
      const auto got = ::recv(fd_.get(), frame.data(), frame.size(), MSG_TRUNC);
      if (got < ETH_HLEN) return seen;
      const auto* packet = frame.data() + ETH_HLEN;
      seen.push_back({frame[12] << 8 | frame[13], packet[0] >> 4 == 4 ? packet[9] : packet[6],
                      static_cast<std::size_t>(got) - ETH_HLEN});
    }
  }
  /// How many packets of each IP protocol came since the last time.
  std::map<int, int> count() {
    std::map<int, int> protocols;
    for (const auto& frame : frames()) ++protocols[frame.protocol];
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
      const auto pins = BpfPins::open(pins_name(), BpfPins::Access::read);
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
        at(server_, [] { return BpfPins::open(pins_name(), BpfPins::Access::read)->directory(); });
    ASSERT_TRUE(std::filesystem::exists(directory));
    wire_.reset();
    server_ = Fd{};
    // The kernel takes a namespace down some time after its last reference.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::filesystem::exists(directory) && std::chrono::steady_clock::now() < deadline) {
      at(client_, [] { EXPECT_TRUE(BpfPins::open(pins_name(), BpfPins::Access::change)); });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_FALSE(std::filesystem::exists(directory));
  }

  Fd client_, server_;
  std::optional<Wire> wire_;
};

}  // namespace warren::carrier::testing
