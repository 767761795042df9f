// The ring of packets, on the loopback device of a network namespace.
#include "io/packet_ring.h"

#include <gtest/gtest.h>
#include <net/ethernet.h>
#include <poll.h>
#include <unistd.h>

#include <vector>

#include "io/udp_socket.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren {
namespace {

// Those of UDP.
const std::vector<sock_filter> udp_filter = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xffffffff), BPF_STMT(BPF_RET | BPF_K, 0)};

class PacketRingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    netns_ = std::move(*create_netns());
    ASSERT_TRUE(netlink::Socket::open(netns_.get())->set_up("lo", true));
    const auto scope = NetnsScope::enter(netns_.get());
    auto ring = PacketRing::open({.protocol = ETHERTYPE_IP}, udp_filter);
    ASSERT_TRUE(ring) << ring.error().message;
    ring_.emplace(std::move(*ring));
    sender_ = open_udp_connection({.ip = *IpAddress::parse("127.0.0.1"), .port = 9});
    ASSERT_TRUE(sender_);
  }
  // The kernel's answer, that nobody listens, is no UDP; it makes every other send() fail.
  void send(std::uint32_t number) const {
    while (::send(sender_.get(), &number, sizeof number, 0) < 0) ASSERT_EQ(errno, ECONNREFUSED);
  }
  std::optional<std::uint32_t> receive() {
    const auto packet = ring_->next();
    if (!packet || packet->bytes.size() != 28 + sizeof(std::uint32_t)) return std::nullopt;
    std::uint32_t number = 0;
    std::memcpy(&number, packet->bytes.data() + 28, sizeof number);
    return number;
  }

  Fd netns_;
  std::optional<PacketRing> ring_;
  Fd sender_;
};

TEST_F(PacketRingTest, PacketsComeInOrderThroughManyRounds) {
  EXPECT_FALSE(ring_->next());
  std::uint32_t sent = 0, received = 0;
  while (received < 3 * PacketRing::capacity) {
    for (int i = 0; i < 100; ++i) send(sent++);
    pollfd waiting{ring_->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
    while (received < sent) ASSERT_EQ(receive(), received++);
    EXPECT_FALSE(ring_->next());
    ring_->release();
  }
  EXPECT_EQ(ring_->take_overruns(), 0U);
}

/// Else whoever waits for it would never sleep again.
TEST_F(PacketRingTest, ADeviceThatWasDownIsForgotten) {
  auto netlink = std::move(*netlink::Socket::open(netns_.get()));
  {
    const auto scope = NetnsScope::enter(netns_.get());
    auto ring = PacketRing::open({.protocol = ETHERTYPE_IP, .device = netlink::loopback_index},
                                 udp_filter);
    ASSERT_TRUE(ring) << ring.error().message;
    ring_.emplace(std::move(*ring));
  }
  ASSERT_TRUE(netlink.set_up("lo", false));
  ASSERT_TRUE(netlink.set_up("lo", true));
  pollfd waiting{ring_->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 0), 1);
  EXPECT_FALSE(ring_->next());
  ring_->forget_error();
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
}

TEST_F(PacketRingTest, OverrunsAreCounted) {
  for (std::uint32_t i = 0; i < PacketRing::capacity + 100; ++i) send(i);
  for (std::uint32_t i = 0; i < PacketRing::capacity; ++i) ASSERT_EQ(receive(), i);
  EXPECT_FALSE(ring_->next()) << "all are taken and none is given back";
  ring_->release();
  EXPECT_FALSE(ring_->next());
  send(7);
  EXPECT_EQ(receive(), 7U);
  EXPECT_EQ(ring_->take_overruns(), 100U);
  EXPECT_EQ(ring_->take_overruns(), 0U);
}

}  // namespace
}  // namespace warren
