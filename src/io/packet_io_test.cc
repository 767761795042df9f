// How readers and writers behave at their edges, on a real device whose kernel side sends UDP. That
// they deliver everything unchanged is tests/forwarding_test.cc.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <thread>

#include <warren/batch_io.h>
#include <warren/packet_io.h>
#include <warren/pass_through.h>
#include <warren/sync.h>

#include "linux/netlink.h"
#include "linux/netns.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace warren {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t udp_headers = 28;
constexpr auto patience = 10s;

class PacketIoTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    netns_ = std::move(*create_netns());
    TunConfig config;
    config.name = "tun0";
    config.netns = "/proc/self/fd/" + std::to_string(netns_.get());
    config.addresses = {*IpPrefix::parse("10.0.1.1/24")};
    config.offload = GetParam();
    auto tun = Tun::open(config);
    ASSERT_TRUE(tun) << tun.error().message;
    tun_.emplace(std::move(*tun));
    const auto scope = NetnsScope::enter(netns_.get());
    socket_ = Fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  }

  void send(std::size_t size, int segment = 0) {
    ASSERT_EQ(::setsockopt(socket_.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    ::inet_pton(AF_INET, "10.0.1.2", &to.sin_addr);
    const std::vector<char> data(size, 'x');
    ASSERT_EQ(
        ::sendto(socket_.get(), data.data(), size, 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
        static_cast<ssize_t>(size))
        << std::strerror(errno);
  }
  /// Reads until a packet of UDP comes: the kernel also sends multicast reports of its own.
  template <class Read>
  static void read_udp(Read&& read) {
    for (;;) {
      std::span<const std::byte> bytes;
      ASSERT_EQ(read(bytes), ReadStatus::packet);
      if (std::to_integer<int>(bytes[0]) == 0x45 && std::to_integer<int>(bytes[9]) == IPPROTO_UDP)
        return;
    }
  }

  Fd netns_;
  std::optional<Tun> tun_;
  Fd socket_;
};

TEST_P(PacketIoTest, AReadEndsWhenTheTimeIsUp) {
  auto in = std::move(*SyncReader::create(*tun_));
  std::span<std::byte> packet;
  for (const auto limit : {1ms, 0ms}) {
    ReadStatus status;
    while ((status = in.read(packet, limit)) == ReadStatus::packet) {
    }  // the kernel sends some of its own
    EXPECT_EQ(status, ReadStatus::empty);
  }
}

TEST_P(PacketIoTest, AReadIsInterruptedFromAnotherThread) {
  auto in = std::move(*SyncReader::create(*tun_));
  std::thread interrupter([&] { in.interrupt(); });
  std::span<std::byte> packet;
  ReadStatus status;
  while ((status = in.read(packet)) == ReadStatus::packet) {
  }
  interrupter.join();
  EXPECT_EQ(status, ReadStatus::interrupted);
  EXPECT_EQ(in.read(packet), ReadStatus::interrupted);
  in.reset();
  EXPECT_NE(in.read(packet, 0ms), ReadStatus::interrupted);
}

TEST_P(PacketIoTest, ReadsIntoViewsAndIntoPooledPackets) {
  auto in = std::move(*SyncReader::create(*tun_));
  auto pool = std::move(*Pool::create(2, 1500));
  send(100);
  std::span<std::byte> view;
  read_udp([&](auto& bytes) {
    const auto status = in.read(view, patience);
    bytes = view;
    return status;
  });
  EXPECT_EQ(view.size(), udp_headers + 100);
  send(200);
  Packet packet;
  read_udp([&](auto& bytes) {
    const auto status = in.read(*pool, packet, patience);
    if (packet) bytes = packet.bytes();
    return status;
  });
  EXPECT_EQ(packet.size(), udp_headers + 200);
}

TEST_P(PacketIoTest, AnExhaustedPoolLosesNothing) {
  auto in = std::move(*SyncReader::create(*tun_));
  auto pool = std::move(*Pool::create(1, 1500));
  Packet held = pool->allocate();
  send(100);
  Packet packet;
  EXPECT_EQ(in.read(*pool, packet, patience), ReadStatus::no_buffer);
  held = Packet{};
  read_udp([&](auto& bytes) {
    const auto status = in.read(*pool, packet, patience);
    if (packet) bytes = packet.bytes();
    return status;
  });
  EXPECT_EQ(packet.size(), udp_headers + 100);
}

TEST_P(PacketIoTest, WhatThePoolCannotHoldIsCountedAndDropped) {
  auto in = std::move(*SyncReader::create(*tun_));
  auto pool = std::move(*Pool::create(4, 200));
  send(1000);
  send(50);
  Packet packet;
  read_udp([&](auto& bytes) {
    const auto status = in.read(*pool, packet, patience);
    if (packet) bytes = packet.bytes();
    return status;
  });
  EXPECT_EQ(packet.size(), udp_headers + 50);
  EXPECT_EQ(in.counters().dropped(DropReason::too_big), 1U);
}

TEST_P(PacketIoTest, WhatTheKernelRefusesIsCounted) {
  auto out = std::move(*SyncWriter::create(*tun_));
  const std::array<std::byte, 40> nonsense{};
  out.write(nonsense);
  out.flush();
  EXPECT_EQ(out.counters().dropped(DropReason::device_error), 1U);
  EXPECT_EQ(out.counters().packets.value(), 0U);
}

TEST_P(PacketIoTest, ADeviceThatIsGoneFailsTheRead) {
  auto in = std::move(*SyncReader::create(*tun_));
  ASSERT_TRUE(std::move(*netlink::Socket::open(netns_.get())).delete_link("tun0"));
  std::span<std::byte> packet;
  EXPECT_EQ(in.read(packet, patience), ReadStatus::failed);
  EXPECT_EQ(in.error(), EBADFD);
  EXPECT_EQ(tun_->name(), "(gone)");
  EXPECT_FALSE(tun_->mtu());
}

TEST_P(PacketIoTest, AQueueThatIsNotThereIsAnError) {
  auto pool = std::move(*Pool::create(1, Pool::super_packet_size));
  EXPECT_FALSE(SyncReader::create(*tun_, 1));
  EXPECT_FALSE(SyncWriter::create(*tun_, 1));
  EXPECT_FALSE(PassThroughReader::create(*tun_, *pool, 1));
  EXPECT_FALSE(PassThroughWriter::create(*tun_, 1));
}

// A super-packet of ten datagrams arrives as ten packets, without another system call, or whole.
TEST_P(PacketIoTest, SuperPacketsComeApartOrWhole) {
  if (!tun_->offloads().uso) {
    GTEST_SKIP() << (GetParam() ? "this kernel's TUN has no UDP segmentation (6.2 has)"
                                : "needs offload");
  }
  auto in = std::move(*SyncReader::create(*tun_));
  std::span<std::byte> view;
  send(1000, 100);
  const auto read_view = [&](auto& bytes) {
    const auto status = in.read(view, patience);
    bytes = view;
    return status;
  };
  read_udp(read_view);
  EXPECT_EQ(in.buffered(), 9U);
  const auto* first = view.data();
  while (in.buffered() > 0) {
    EXPECT_EQ(view.size(), udp_headers + 100);
    read_udp(read_view);
  }
  // The first is still where it was, whole.
  EXPECT_EQ(std::to_integer<char>(first[udp_headers]), 'x');
  EXPECT_EQ(std::to_integer<char>(first[udp_headers + 99]), 'x');

  send(1000, 100);
  auto pool = std::move(*Pool::create(2 * Batch::capacity, 1500));
  auto batches = std::move(*BatchReader::create(*tun_, *pool));
  std::size_t datagrams = 0;
  while (datagrams == 0) {
    Batch batch;
    ASSERT_EQ(batches.read(batch, patience), ReadStatus::packet);
    for (std::size_t i = 0; i < batch.size(); ++i)
      datagrams += batch.bytes(i).size() == udp_headers + 100 ? 1 : 0;
  }
  EXPECT_EQ(datagrams, 10U);

  send(1000, 100);
  auto super_pool = std::move(*Pool::create(2, Pool::super_packet_size));
  auto whole = std::move(*PassThroughReader::create(*tun_, *super_pool));
  Packet packet;
  read_udp([&](auto& bytes) {
    const auto status = whole.read(packet, patience);
    if (packet) bytes = packet.bytes();
    return status;
  });
  EXPECT_EQ(packet.size(), udp_headers + 1000);
  EXPECT_TRUE(packet.offload().is_super_packet());
  EXPECT_EQ(packet.offload().gso_size, 100);
}

INSTANTIATE_TEST_SUITE_P(Offload, PacketIoTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "on" : "off"; });

}  // namespace
}  // namespace warren
