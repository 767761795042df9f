// Packets whose checksum is not finished (CHECKSUM_PARTIAL), and super-packets: bpf_prog_test_run
// cannot make them. Here the kernel does, on devices in a namespace of their own.
//
//     test ─ packet socket ─▶ near ══ veth ══ far ─▶ packet socket ─ test        an Ethernet
//                             └ carry
//     test ─▶ wide (tun) ─▶ the kernel forwards ─▶ narrow (tun) ─▶ test          no link header
//             └ restore                            └ carry
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fstream>

#include <warren/tun.h>

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
  void open(std::uint32_t ifindex) {
    fd_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, wire::network(std::uint16_t{ETH_P_ALL})));
    ASSERT_TRUE(fd_) << std::strerror(errno);
    const int on = 1;
    ASSERT_EQ(::setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = wire::network(std::uint16_t{ETH_P_ALL});
    address.sll_ifindex = static_cast<int>(ifindex);
    ASSERT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void send(SuperPacket packet) const {
    const iovec pieces[] = {{&packet.offload, sizeof packet.offload},
                            {packet.bytes.data(), packet.bytes.size()}};
    ASSERT_GT(::writev(fd_.get(), pieces, 2), 0) << std::strerror(errno);
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
  FrameSocket in;
  FrameSocket out;
  in.open(near);
  out.open(far);
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
        const auto message = finished(*sent);
        EXPECT_EQ(hex(message), hex(expected_message(spec, message, false, spec.source_port)));
        EXPECT_EQ(icmp_error_of(spec, message), 0);
        EXPECT_EQ(tag_of(spec, message), tag);
        EXPECT_EQ(hex(programs_->restore(message).bytes), hex(build(spec)));
      }
    }
  }
}

}  // namespace
}  // namespace warren::carrier
