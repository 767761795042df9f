// VXLAN nodes in namespaces that a veth pair joins, whose hosts are memory; and one with a TAP device,
// whose other end is the kernel's.
//
//     netns a    port ── vxlan ── 192.0.2.1, 2001:db8::1 ─ veth ─ 192.0.2.2, 2001:db8::2 ── vxlan ── port    netns b
#include "tunnel/vxlan_node.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <thread>

#include "io/udp_port.h"
#include "l2/testing.h"
#include "linux/netlink.h"
#include "linux/netns.h"
#include "offload/testing.h"
#include "wire/bytes.h"

namespace warren::tunnel {
namespace {

using namespace std::chrono_literals;
using l2::testing::Bytes;
using l2::testing::make_frame;
using l2::testing::make_packet;
using ::testing::HasSubstr;

constexpr std::uint64_t everybody = 0xffffffffffff;
constexpr std::uint64_t alice = 0x020000000001;
constexpr std::uint64_t bob = 0x020000000002;
constexpr auto patience = 20s;  // for what comes true at once where nothing is wrong

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

IpAddress ip(const std::string& text) { return must(IpAddress::parse(text)); }

/// Keeps what arrives, and sends.
class HostPort final : public Port {
 public:
  HostPort() : Port("host") {}
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capabilities::super_packets(Medium::ethernet);
  }
  void receive(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      frames.emplace_back(batch.bytes(i).begin(), batch.bytes(i).end());
      offloads.push_back(batch.offload(i));
    }
    batch.clear();
  }
  void send(Batch& batch) noexcept { emit(batch); }

  std::vector<Bytes> frames;
  std::vector<OffloadHeader> offloads;
};

struct Host {
  Fd netns = must(create_netns());
  HostPort port;
  std::unique_ptr<Node> node;
};

class VxlanNodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    auto at_a = must(netlink::Socket::open(a_.netns.get()));
    must(at_a.create_veth({.name = "veth", .peer_name = "veth", .peer_netns = b_.netns.get()}));
    set_up_link(a_, {"192.0.2.1/24", "2001:db8::1/64"});
    set_up_link(b_, {"192.0.2.2/24", "2001:db8::2/64"});
  }

  static void set_up_link(const Host& host, const std::vector<const char*>& addresses) {
    auto socket = must(netlink::Socket::open(host.netns.get()));
    must(socket.set_up("lo", true));
    must(socket.set_up("veth", true));
    for (const auto* text : addresses)
      must(socket.add_address("veth", must(IpPrefix::parse(text))));
  }
  static VxlanNodeSettings settings_for(const std::string& peer) {
    VxlanNodeSettings settings;
    settings.vxlan.vni = 42;
    settings.vxlan.peers = {ip(peer)};
    settings.ipv6 = settings.vxlan.peers[0].ipv6;
    return settings;
  }
  Result<std::unique_ptr<Node>> make(const Host& host, const VxlanNodeSettings& settings) {
    const auto scope = must(NetnsScope::enter(host.netns.get()));
    return VxlanNodeConfig(settings).create("vx", *loop_);
  }
  void start(Host& host, const VxlanNodeSettings& settings) {
    host.node = must(make(host, settings));
    connect(host);
  }
  static void connect(Host& host) {
    auto* port = host.node->ports().front();
    port->connect(host.port);
    host.port.connect(*port);
  }
  void start_both(const std::string& address_a, const std::string& address_b) {
    start(a_, settings_for(address_b));
    start(b_, settings_for(address_a));
  }
  void send(Host& host, const std::vector<Bytes>& frames) {
    Batch batch;
    for (const auto& frame : frames) batch.push(make_packet(*pool_, frame));
    host.port.send(batch);
  }
  void run_until(const std::function<bool()>& condition) {
    const auto deadline = Clock::now() + patience;
    Timer poll(*loop_, [&] {
      if (condition() || Clock::now() > deadline) return loop_->stop();
      poll.set(Clock::now() + 1ms);
    });
    poll.set(Clock::now());
    must(loop_->run());
    ASSERT_TRUE(condition());
  }
  static std::string detail(const Host& host, const std::string& name) {
    for (const auto& [key, value] : host.node->details())
      if (key == name) return value;
    return "no such detail";
  }

  std::unique_ptr<Loop> loop_ = must(Loop::create());
  std::unique_ptr<Pool> pool_ = must(Pool::create(256, Pool::super_packet_size));
  Host a_;
  Host b_;
};

TEST_F(VxlanNodeTest, FramesCrossBothWays) {
  start_both("192.0.2.1", "192.0.2.2");
  const auto question = make_frame(everybody, alice, "who is bob");
  const auto answer = make_frame(alice, bob, "I am");
  send(a_, {question});
  run_until([&] { return !b_.port.frames.empty(); });
  EXPECT_EQ(b_.port.frames[0], question);
  send(b_, {answer, answer, answer});
  run_until([&] { return a_.port.frames.size() == 3; });
  EXPECT_EQ(a_.port.frames[2], answer);
  EXPECT_EQ(detail(a_, "peer 192.0.2.2"), "1 sent, 3 received, 1 addresses");
}

TEST_F(VxlanNodeTest, Ipv6CarriesItAsWell) {
  start_both("2001:db8::1", "2001:db8::2");
  const auto frame = make_frame(everybody, alice, "hello");
  // The addresses may not be usable yet: they are looked for on the line first.
  run_until([&] {
    if (b_.port.frames.empty()) send(a_, {frame});
    return !b_.port.frames.empty();
  });
  EXPECT_EQ(b_.port.frames[0], frame);
}

TEST_F(VxlanNodeTest, SuperPacketsArriveAsSuperPackets) {
  start_both("192.0.2.1", "192.0.2.2");
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  std::mt19937_64 random(1);
  spec.payload = wire::testing::random_bytes(random, 50'000);
  const auto super = offload::make_super_packet(spec, 1300, true);
  auto packet = make_packet(*pool_, super.bytes);
  packet.offload() = super.offload;
  Batch batch;
  batch.push(std::move(packet));
  a_.port.send(batch);
  const auto headers = spec.header_length();
  const auto payload = [&] {
    Bytes all;
    for (const auto& frame : b_.port.frames)
      all.insert(all.end(), frame.begin() + static_cast<std::ptrdiff_t>(headers), frame.end());
    return all;
  };
  run_until([&] { return payload().size() >= spec.payload.size(); });
  EXPECT_EQ(payload(), spec.payload);
  EXPECT_LT(b_.port.frames.size(), offload::obvious_segments(spec, 1300).size() / 2);
  EXPECT_EQ(b_.port.offloads[0].gso_type, OffloadHeader::gso_tcp4);
  EXPECT_EQ(b_.port.offloads[0].gso_size, 1300);
}

TEST_F(VxlanNodeTest, WhatIsTooLargeForTheWayIsFragmented) {
  start_both("192.0.2.1", "192.0.2.2");
  const auto frame = make_frame(everybody, alice, std::string(4000, 'x'));
  send(a_, {frame, frame});
  run_until([&] { return b_.port.frames.size() == 2; });
  EXPECT_EQ(b_.port.frames[1], frame);
}

TEST_F(VxlanNodeTest, FlowsAreSpreadOverSourcePorts) {
  auto settings = settings_for("192.0.2.2");
  settings.vxlan.source_ports = 4;
  settings.local = ip("192.0.2.1");
  start(a_, settings);
  const auto at_b = [&] {
    const auto scope = must(NetnsScope::enter(b_.netns.get()));
    return must(UdpPort::open(settings.port, 0));
  }();
  constexpr std::uint16_t flows = 32;
  for (std::uint16_t flow = 0; flow < flows; ++flow) {
    wire::testing::PacketSpec spec;
    spec.medium = Medium::ethernet;
    spec.tcp = false;
    spec.source_port = flow;
    const auto frame = wire::testing::build(spec);
    send(a_, {frame, frame});
  }
  ReceiveBatch received;
  std::map<std::uint16_t, std::size_t> bytes;  // by source port
  std::size_t all = 0;
  run_until([&] {
    const auto count = received.receive(at_b.socket_for(false));
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(received.sender(i).ip, *settings.local);
      bytes[received.sender(i).port] += received.data(i).size();
      all += received.data(i).size();
    }
    return all >= std::size_t{flows} * 2 * (8 + 14 + 20 + 8);
  });
  EXPECT_EQ(bytes.size(), 4U);
  EXPECT_FALSE(bytes.contains(settings.port));
}

TEST_F(VxlanNodeTest, AChangedListOfPeersKeepsTheSockets) {
  start_both("192.0.2.1", "192.0.2.2");
  const auto scope = must(NetnsScope::enter(a_.netns.get()));
  auto settings = settings_for("192.0.2.2");
  settings.vxlan.peers.push_back(ip("192.0.2.9"));
  EXPECT_TRUE(must(a_.node->reconfigure(VxlanNodeConfig(settings))));
  EXPECT_EQ(detail(a_, "peer 192.0.2.9"), "0 sent, 0 received, 0 addresses");
  settings.vxlan.peers.push_back(ip("192.0.2.1"));
  const auto wrong = a_.node->reconfigure(VxlanNodeConfig(settings));
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("vx: the peer 192.0.2.1 is this host itself"));
  settings.port = 4790;
  settings.vxlan.peers.pop_back();
  EXPECT_FALSE(must(a_.node->reconfigure(VxlanNodeConfig(settings))));
}

TEST_F(VxlanNodeTest, SaysWhatItCannotDo) {
  start(a_, settings_for("192.0.2.2"));
  const auto same_network = make(a_, settings_for("192.0.2.2"));
  ASSERT_FALSE(same_network);
  EXPECT_THAT(same_network.error().message, HasSubstr("another VXLAN has VNI 42 on UDP port 4789"));
  auto mixed = settings_for("192.0.2.1");
  mixed.local = ip("2001:db8::2");
  const auto families = make(b_, mixed);
  ASSERT_FALSE(families);
  EXPECT_THAT(families.error().message, HasSubstr("is not of the family of the peers"));
  const auto scope = must(NetnsScope::enter(b_.netns.get()));
  const auto taken = must(UdpPort::open(4789, 0));
  const auto port = make(b_, settings_for("192.0.2.1"));
  ASSERT_FALSE(port);
  EXPECT_THAT(port.error().message, HasSubstr("listen on UDP 0.0.0.0:4789"));
}

TEST_F(VxlanNodeTest, TheSourceIsADevicesAddress) {
  auto settings = settings_for("2001:db8::2");
  settings.over = "veth";
  start(a_, settings);
  EXPECT_EQ(detail(a_, "local"), "2001:db8::1");
  settings.over = "nowhere";
  const auto none = a_.node->reconfigure(VxlanNodeConfig(settings));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("nowhere"));
  EXPECT_EQ(detail(a_, "local"), "2001:db8::1");
}

TEST_F(VxlanNodeTest, TheSourceFollowsTheDevice) {
  auto settings = settings_for("192.0.2.2");
  settings.over = "veth";
  start(a_, settings);
  EXPECT_EQ(detail(a_, "local"), "192.0.2.1");
  auto socket = must(netlink::Socket::open(a_.netns.get()));
  must(socket.remove_address("veth", must(IpPrefix::parse("192.0.2.1/24"))));
  must(socket.add_address("veth", must(IpPrefix::parse("192.0.2.77/24"))));
  run_until([&] { return detail(a_, "local") == "192.0.2.77"; });
  start(b_, settings_for("192.0.2.77"));
  const auto frame = make_frame(everybody, alice, "from a new address");
  run_until([&] {
    if (b_.port.frames.empty()) send(a_, {frame});
    return !b_.port.frames.empty();
  });
  // While there is none the former one stays.
  must(socket.remove_address("veth", must(IpPrefix::parse("192.0.2.77/24"))));
  must(socket.add_address("veth", must(IpPrefix::parse("192.0.2.78/24"))));
  run_until([&] { return detail(a_, "local") == "192.0.2.78"; });
}

TEST_F(VxlanNodeTest, WhoForbidsFragmentsIsToldWhatFits) {
  start_both("192.0.2.1", "192.0.2.2");
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.payload.resize(1461);
  const auto large = wire::testing::build(spec);
  auto greeting = large;
  greeting.resize(60);
  std::swap_ranges(greeting.begin(), greeting.begin() + 6, greeting.begin() + 6);
  greeting[12] = greeting[13] = std::byte{0x88};  // no IP
  send(b_, {greeting});
  run_until([&] { return !a_.port.frames.empty(); });
  a_.port.frames.clear();
  send(a_, {large, large});
  EXPECT_TRUE(a_.port.frames.empty()) << "whoever sends is not given frames meanwhile";
  run_until([&] { return a_.port.frames.size() == 2; });
  const auto& answer = a_.port.frames[0];
  EXPECT_EQ(answer.at(14 + 20), std::byte{3});
  EXPECT_EQ(answer.at(14 + 21), std::byte{4});
  EXPECT_EQ(wire::load16(answer.data() + 14 + 26), 1500 - 50);
  EXPECT_TRUE(b_.port.frames.empty());
  EXPECT_EQ(detail(a_, "senders told"), "2");
  // The MTU of the way is followed as well.
  for (const auto* host : {&b_, &a_})
    must(must(netlink::Socket::open(host->netns.get())).set_mtu("veth", 1700));
  run_until([&] {
    if (b_.port.frames.empty()) send(a_, {large});
    return !b_.port.frames.empty();
  });
  EXPECT_EQ(b_.port.frames[0], large);
}

// Their messages leave from one port, so that the kernel merges them on the way.
TEST_F(VxlanNodeTest, NetworksShareAPortAndStayApart) {
  Host a8;
  Host b8;
  start_both("192.0.2.1", "192.0.2.2");
  for (auto [host, like, peer] :
       {std::tuple(&a8, &a_, "192.0.2.2"), std::tuple(&b8, &b_, "192.0.2.1")}) {
    auto settings = settings_for(peer);
    settings.vxlan.vni = 8;
    host->node = must(make(*like, settings));
    connect(*host);
  }
  const auto in_42 = make_frame(everybody, alice, "forty-two");
  const auto in_8 = make_frame(everybody, bob, "eight nets");
  for (int i = 0; i < 3; ++i) {
    send(a_, {in_42, in_42});
    send(a8, {in_8});
  }
  run_until([&] { return b_.port.frames.size() == 6 && b8.port.frames.size() == 3; });
  EXPECT_THAT(b_.port.frames, ::testing::Each(in_42));
  EXPECT_THAT(b8.port.frames, ::testing::Each(in_8));
}

TEST_F(VxlanNodeTest, TheKernelUnderstandsItAndIsUnderstood) {
  {
    const auto scope = must(NetnsScope::enter(b_.netns.get()));
    if (std::system("ip link add vx type vxlan id 42 dstport 4789 remote 192.0.2.1 && "  // NOLINT
                    "ip addr add 10.7.0.2/24 dev vx && ip link set vx up") != 0)
      GTEST_SKIP() << "this kernel has no VXLAN, or the machine no ip(8)";
  }
  auto settings = settings_for("192.0.2.2");
  settings.device = TunConfig{.mode = TunMode::tap,
                              .name = "vx",
                              .netns = {},
                              .addresses = {must(IpPrefix::parse("10.7.0.1/24"))},
                              .mtu = 1450,
                              .offload = true,
                              .routes = {}};
  {
    const auto scope = must(NetnsScope::enter(a_.netns.get()));
    a_.node = must(VxlanNodeConfig(settings).create("vx", *loop_));
  }
  EXPECT_TRUE(a_.node->ports().empty());
  int status = -1;
  std::thread user([&] {
    must(enter_netns(a_.netns.get()));
    // Small ones, and ones that are 14 fragments inside the tunnel.
    status = std::system(
        "ping -q -c 3 -i 0.05 -w 20 10.7.0.2 >/dev/null && "  // NOLINT
        "ping -q -c 5 -i 0.05 -w 20 -s 20000 10.7.0.2 >/dev/null");
    loop_->stop();
  });
  must(loop_->run());
  user.join();
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace warren::tunnel
