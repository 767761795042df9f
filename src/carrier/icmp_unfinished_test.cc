// Packets whose checksum is not finished (CHECKSUM_PARTIAL), and super-packets: bpf_prog_test_run
// cannot make them. Here the kernel does, on devices in a namespace of their own.
//
//     test ─ packet socket ─▶ near ══ veth ══ far ─▶ packet socket ─ test        an Ethernet
//                             └ carry
//     test ─▶ wide (tun) ─▶ the kernel forwards ─▶ narrow (tun) ─▶ test          no link header
//             └ restore                            └ carry
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <chrono>
#include <fstream>
#include <thread>

#include <warren/tun.h>

#include "carrier/icmp_codec.h"
#include "carrier/testing.h"
#include "linux/netlink.h"
#include "offload/testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using offload::make_super_packet;
using offload::SuperPacket;
using wire::testing::build;

constexpr std::uint16_t tag = 0x3fa2;

/// What the kernel or a device does last: the sum from start to end, where it belongs.
Bytes finished(const SuperPacket& packet) {
  auto out = packet.bytes;
  if (!packet.offload.checksum_pending()) return out;
  const std::size_t start = packet.offload.checksum_start;
  const auto checksum = wire::testing::obvious_checksum(part(out, start, out.size()));
  set_word(out, start + packet.offload.checksum_offset, checksum == 0 ? 0xffff : checksum);
  return out;
}

/// UDP with only its pseudo-header summed.
SuperPacket unfinished(const PacketSpec& spec) {
  auto out = make_super_packet(spec, 0, true);
  out.offload.gso_type = OffloadHeader::gso_none;
  return out;
}

/// Sends and receives frames with their offload header, on one device.
class FrameSocket {
 public:
  explicit FrameSocket(std::uint32_t ifindex)
      : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, wire::network(std::uint16_t{ETH_P_ALL}))) {
    EXPECT_TRUE(fd_) << std::strerror(errno);
    const int on = 1;
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = wire::network(std::uint16_t{ETH_P_ALL});
    address.sll_ifindex = static_cast<int>(ifindex);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void send(SuperPacket packet) const {
    ASSERT_TRUE(kernel_takes(std::move(packet))) << std::strerror(errno);
  }
  [[nodiscard]] bool kernel_takes(SuperPacket packet) const {
    const iovec pieces[] = {{&packet.offload, sizeof packet.offload},
                            {packet.bytes.data(), packet.bytes.size()}};
    return ::writev(fd_.get(), pieces, 2) > 0;
  }
  /// The next frame between the hosts of PacketSpec; nothing after a while without one.
  [[nodiscard]] std::optional<SuperPacket> receive(int milliseconds = 5000) const {
    for (;;) {
      SuperPacket out;
      out.bytes.resize(70000);
      const iovec pieces[] = {{&out.offload, sizeof out.offload},
                              {out.bytes.data(), out.bytes.size()}};
      pollfd ready{fd_.get(), POLLIN, 0};
      if (::poll(&ready, 1, milliseconds) != 1) return std::nullopt;
      const auto size = ::readv(fd_.get(), pieces, 2);
      if (size < 24) return std::nullopt;
      out.bytes.resize(static_cast<std::size_t>(size) - sizeof out.offload);
      if (word(out.bytes, 0) == 0x0200 && word(out.bytes, 6) == 0x0200) return out;
    }
  }

 private:
  Fd fd_;
};

class IcmpUnfinishedTest : public ProgramsTest {
 protected:
  netlink::Socket links() {
    auto socket = netlink::Socket::open();
    EXPECT_TRUE(socket) << socket.error().message;
    return std::move(*socket);
  }
  std::uint32_t up(const char* name) {
    auto socket = links();
    EXPECT_TRUE(socket.set_no_ipv6_address(name));
    EXPECT_TRUE(socket.set_up(name, true));
    return static_cast<std::uint32_t>(*socket.index(name));
  }
  /// The ends of a new Ethernet.
  std::pair<std::uint32_t, std::uint32_t> ethernet(const char* name, const char* peer) {
    netlink::VethConfig config;
    config.name = name;
    config.peer_name = peer;
    const auto made = links().create_veth(config);
    EXPECT_TRUE(made) << made.error().message;
    return {up(name), up(peer)};
  }
};

TEST_F(IcmpUnfinishedTest, IsBalancedByTheKernelOrFinishedByTheProgram) {
  const auto [near, far] = ethernet("near", "far");
  programs_->attach(programs_->skeleton().progs.carry, near, BPF_TC_EGRESS);
  const FrameSocket in(near);
  const FrameSocket out(far);
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(udp_packet(ipv6, 0), tag);
    programs_->add_user(tag, 51820);
    for (const bool software : {false, true}) {
      add_device(near, 14, software);
      for (std::size_t size = 0; size <= 1452; size += size < 64 ? 1 : 347) {
        SCOPED_TRACE(::testing::Message() << ipv6 << software << " " << size);
        const auto spec = udp_packet(ipv6, size);
        in.send(unfinished(spec));
        const auto sent = out.receive();
        ASSERT_TRUE(sent);
        EXPECT_EQ(sent->offload.checksum_pending(), !software);
        expect_carried(spec, finished(*sent), tag);
        EXPECT_EQ(hex(programs_->restore(finished(*sent)).bytes), hex(build(spec)));
      }
    }
  }
}

TEST_F(IcmpUnfinishedTest, IsFinishedForTutu) {
  const auto [near, far] = ethernet("near", "far");
  programs_->attach(programs_->skeleton().progs.carry, near, BPF_TC_EGRESS);
  add_device(near, 14, false);
  const FrameSocket in(near);
  const FrameSocket out(far);
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(udp_packet(ipv6, 0), 7, ICMP_PROFILE_TUTU);
    for (const std::size_t size : {0, 1, 100, 1452}) {
      const auto spec = udp_packet(ipv6, size);
      in.send(unfinished(spec));
      const auto sent = out.receive();
      ASSERT_TRUE(sent);
      EXPECT_FALSE(sent->offload.checksum_pending());
      auto expected = build(spec);
      ASSERT_EQ(
          carry_packet(std::span(expected).subspan(14), IcmpDirection::request, {7, Profile::tutu}),
          CodecStatus::done);
      EXPECT_EQ(hex(sent->bytes), hex(expected));
    }
  }
}

/// A tunnel over the carrier: not our checksum is unfinished, but that of a packet within.
TEST_F(IcmpUnfinishedTest, AnInnerChecksumMayBeUnfinished) {
  const auto [near, far] = ethernet("near", "far");
  programs_->attach(programs_->skeleton().progs.carry, near, BPF_TC_EGRESS);
  const FrameSocket in(near);
  const FrameSocket out(far);
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(udp_packet(ipv6, 0), tag);
    for (const bool software : {false, true}) {
      for (const bool checksum : {false, true}) {
        add_device(near, 14, software);
        auto spec = udp_packet(ipv6, 333);
        SuperPacket packet{build(spec), {}, Medium::ethernet};
        packet.offload.flags = OffloadHeader::needs_checksum;
        packet.offload.checksum_start = static_cast<std::uint16_t>(spec.l4() + 8 + 50);
        packet.offload.checksum_offset = 16;
        // The outer checksum is that of the datagram as it will be.
        const auto whole = finished(packet);
        spec.payload = part(whole, spec.l4() + 8, whole.size());
        const auto check = checksum ? word(build(spec), spec.l4() + 6) : 0;
        set_word(packet.bytes, spec.l4() + 6, check);
        in.send(packet);
        const auto sent = out.receive();
        ASSERT_TRUE(sent);
        EXPECT_EQ(sent->offload, packet.offload);
        expect_carried(spec, finished(*sent), tag);
      }
    }
  }
}

/// A super-packet goes through a device that takes none: `macvlan` over an own pair.
TEST_F(IcmpUnfinishedTest, ASuperPacketIsSegmentedOnADetour) {
  const auto [near, far] = ethernet("near", "far");
  const auto [exit, end] = ethernet("exit", "end");
  netlink::MacvlanConfig config;
  config.name = "detour";
  config.lower = "exit";
  config.gso_max_segments = 1;
  config.gso_max_size = 1500;
  ASSERT_TRUE(links().create_macvlan(config));
  const auto detour = up("detour");
  programs_->attach(programs_->skeleton().progs.carry, near, BPF_TC_EGRESS);
  programs_->attach(programs_->skeleton().progs.carry, exit, BPF_TC_EGRESS);
  const FrameSocket in(near);
  const FrameSocket out(far);
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(udp_packet(ipv6, 0), tag);
    for (const std::uint8_t software : std::array<std::uint8_t, 2>{0, 1}) {
      programs_->add_device(near, {0, detour, 0, 1500, 14, software, {}, {}, {}, {}});
      programs_->add_device(exit, {0, 0, near, 1500, 14, software, {}, {}, {}, {}});
      const auto spec = udp_packet(ipv6, 30000);
      if (!in.kernel_takes(make_super_packet(spec, 1400, true)))
        GTEST_SKIP() << "this kernel takes no UDP super-packets from packet sockets (6.2 does)";
      for (const auto& segment : offload::obvious_segments(spec, 1400)) {
        const auto sent = out.receive();
        ASSERT_TRUE(sent);
        expect_carried(segment, finished(*sent), tag);
      }
    }
  }
  EXPECT_EQ(programs_->count(ICMP_DROP_NO_DETOUR), 0U);
}

/// The kernel forwards between two tunnels, and hands over what is unfinished as it is.
class IcmpForwardingTest : public IcmpUnfinishedTest {
 protected:
  void SetUp() override {
    IcmpUnfinishedTest::SetUp();
    if (!programs_) return;
    wide_ = open("wide", "10.1.0.1/16", "fd00:0:0:1::1:1/112");
    narrow_ = open("narrow", "10.2.0.1/16", "fd00:0:0:1::2:1/112");
    ASSERT_TRUE(wide_ && narrow_);
    ASSERT_TRUE(links().set_up("lo", true));
    std::ofstream("/proc/sys/net/ipv4/ip_forward") << 1;
    std::ofstream("/proc/sys/net/ipv6/conf/all/forwarding") << 1;
  }
  static std::unique_ptr<Tun> open(const char* name, const char* ipv4, const char* ipv6) {
    TunConfig config;
    config.name = name;
    config.addresses = {*IpPrefix::parse(ipv4), *IpPrefix::parse(ipv6)};
    config.mtu = 1500;
    config.tx_queue_length = 1000;
    config.offload = true;
    auto tun = Tun::open(config);
    EXPECT_TRUE(tun) << tun.error().message;
    return tun ? std::make_unique<Tun>(std::move(*tun)) : nullptr;
  }
  std::uint32_t index(const char* name) { return static_cast<std::uint32_t>(*links().index(name)); }
  /// The kernel takes IPv6 addresses into use a little later than it takes them.
  void wait_until_local(const IpAddress& address) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    for (;;) {
      const auto route = links().route_to(address);
      if (route && route->device == static_cast<int>(loopback)) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the address is not in use";
      std::this_thread::yield();
    }
  }
  static PacketSpec forwarded(bool ipv6, std::size_t size) {
    auto spec = udp_packet(ipv6, size);
    spec.medium = Medium::ip;
    spec.source_host = 0x10009;
    spec.destination_host = 0x20009;
    return spec;
  }
  void send(SuperPacket packet) const {
    const iovec pieces[] = {{&packet.offload, sizeof packet.offload},
                            {packet.bytes.data(), packet.bytes.size()}};
    ASSERT_GT(::writev(wide_->fd(), pieces, 2), 0) << std::strerror(errno);
  }
  /// The next packet to the host behind `narrow`; nothing after a while without one.
  [[nodiscard]] std::optional<SuperPacket> receive() const {
    for (;;) {
      SuperPacket out;
      out.bytes.resize(70000);
      const iovec pieces[] = {{&out.offload, sizeof out.offload},
                              {out.bytes.data(), out.bytes.size()}};
      pollfd ready{narrow_->fd(), POLLIN, 0};
      if (::poll(&ready, 1, 5000) != 1) return std::nullopt;
      const auto size = ::readv(narrow_->fd(), pieces, 2);
      if (size < 30) return std::nullopt;
      out.bytes.resize(static_cast<std::size_t>(size) - sizeof out.offload);
      const bool ipv6 = out.bytes[0] == std::byte{0x60};
      const std::size_t end = ipv6 ? 40 : 20;
      if (word(out.bytes, end - 4) == (ipv6 ? 2U : 0x0a02U) && word(out.bytes, end - 2) == 9)
        return out;
    }
  }

  std::unique_ptr<Tun> wide_;
  std::unique_ptr<Tun> narrow_;
};

TEST_F(IcmpForwardingTest, CarriesWhatItForwardsOnADeviceWithoutLinkHeader) {
  programs_->attach(programs_->skeleton().progs.carry, index("narrow"), BPF_TC_EGRESS);
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(forwarded(ipv6, 0), tag);
    for (const bool software : {false, true}) {
      add_device(index("narrow"), 0, software);
      for (std::size_t size = 0; size <= 1452; size += size < 40 ? 1 : 353) {
        SCOPED_TRACE(::testing::Message() << ipv6 << software << " " << size);
        auto spec = forwarded(ipv6, size);
        send(unfinished(spec));
        const auto sent = receive();
        --spec.ttl;
        ASSERT_TRUE(sent);
        EXPECT_EQ(sent->offload.checksum_pending(), !software);
        expect_carried(spec, finished(*sent), tag);
      }
    }
  }
}

TEST_F(IcmpForwardingTest, ASocketLearnsThatItsDatagramWouldBeFragmented) {
  programs_->attach(programs_->skeleton().progs.carry, index("narrow"), BPF_TC_EGRESS);
  add_device(index("narrow"), 0, false);
  wait_until_local(*IpAddress::parse("fd00:0:0:1::2:1"));
  for (const bool ipv6 : {false, true}) {
    programs_->add_server(forwarded(ipv6, 0), tag);
    sockaddr_in to4{};
    sockaddr_in6 to6{};
    to4.sin_family = AF_INET;
    to6.sin6_family = AF_INET6;
    to4.sin_port = to6.sin6_port = wire::network(std::uint16_t{51820});
    ::inet_pton(AF_INET, "10.2.0.9", &to4.sin_addr);
    ::inet_pton(AF_INET6, "fd00:0:0:1::2:9", &to6.sin6_addr);
    const auto* to =
        ipv6 ? reinterpret_cast<const sockaddr*>(&to6) : reinterpret_cast<const sockaddr*>(&to4);
    const Fd socket(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    ASSERT_EQ(::connect(socket.get(), to, ipv6 ? sizeof to6 : sizeof to4), 0);
    const Bytes datagram(3000);
    ASSERT_EQ(::send(socket.get(), datagram.data(), datagram.size(), 0), 3000);
    pollfd told{socket.get(), 0, 0};
    ASSERT_EQ(::poll(&told, 1, 5000), 1) << "nothing came back";
    int error = 0;
    socklen_t size = sizeof error;
    ASSERT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
    EXPECT_EQ(error, EMSGSIZE);
  }
  EXPECT_GE(programs_->count(ICMP_DROP_FRAGMENT), 4U) << "a later fragment left as plain UDP";
}

TEST_F(IcmpForwardingTest, ASuperPacketIsSegmentedOnADetour) {
  if (!wide_->offloads().uso)
    GTEST_SKIP() << "this kernel has no UDP segmentation for TUN devices (6.2 and newer)";
  const auto [exit, end] = ethernet("exit", "end");
  netlink::MacvlanConfig config;
  config.name = "detour";
  config.lower = "exit";
  config.gso_max_segments = 1;
  config.gso_max_size = 1500;
  ASSERT_TRUE(links().create_macvlan(config));
  const auto detour = up("detour");
  const auto narrow = index("narrow");
  programs_->attach(programs_->skeleton().progs.carry, narrow, BPF_TC_EGRESS);
  programs_->attach(programs_->skeleton().progs.carry, exit, BPF_TC_EGRESS);
  programs_->add_device(narrow, {0, detour, 0, 1500, 0, 0, {}, {}, {}, {}});
  programs_->add_device(exit, {0, 0, narrow, 1500, 14, 0, {}, {}, {}, {}});
  for (const bool ipv6 : {false, true}) {
    auto spec = forwarded(ipv6, 30000);
    programs_->add_server(spec, tag);
    send(make_super_packet(spec, 1400, true));
    --spec.ttl;
    for (const auto& segment : offload::obvious_segments(spec, 1400)) {
      const auto sent = receive();
      ASSERT_TRUE(sent) << programs_->count(ICMP_DROP_NO_DETOUR);
      expect_carried(segment, finished(*sent), tag);
    }
  }
}

TEST_F(IcmpForwardingTest, AnUnfinishedMessageBecomesUnfinishedUdp) {
  programs_->attach(programs_->skeleton().progs.restore, index("wide"), BPF_TC_INGRESS);
  programs_->add_user(tag, 51820);
  add_device(index("wide"), 0, false);
  for (const bool ipv6 : {false, true}) {
    for (std::size_t size = 0; size <= 1452; size += size < 40 ? 1 : 353) {
      SCOPED_TRACE(::testing::Message() << ipv6 << " " << size);
      auto spec = forwarded(ipv6, size);
      // As another kernel on this host balances it: only the pseudo-header is in the sequence.
      auto message = unfinished(spec);
      auto whole = build(spec);
      ASSERT_EQ(carry_packet(whole, IcmpDirection::request, {tag}), CodecStatus::done);
      message.bytes = whole;
      const auto pseudo_header = icmp_pseudo_header(spec, whole.size() - spec.l4());
      set_word(message.bytes, spec.l4() + 6,
               static_cast<std::uint16_t>(~wire::testing::obvious_checksum(pseudo_header)));
      ASSERT_EQ(hex(finished(message)), hex(whole));
      send(message);
      const auto received = receive();
      --spec.ttl;
      ASSERT_TRUE(received);
      EXPECT_TRUE(received->offload.checksum_pending());
      EXPECT_EQ(hex(received->bytes), hex(unfinished(spec).bytes));
      EXPECT_EQ(hex(finished(*received)), hex(build(spec)));
      // And finished, as everybody else sends it.
      message.offload = {};
      message.bytes = whole;
      send(message);
      const auto complete = receive();
      ASSERT_TRUE(complete);
      EXPECT_EQ(hex(complete->bytes), hex(build(spec)));
    }
  }
}

}  // namespace
}  // namespace warren::carrier
