// The ring of local datagrams, and the socket beside it, in a network namespace.
#include "io/loopback_ring.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <vector>

#include "io/udp_socket.h"
#include "linux/kernel_version.h"
#include "linux/netlink.h"
#include "linux/netns.h"
#include "linux/sysctl.h"
#include "wire/checksum.h"

namespace warren {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t headers = 28;
constexpr std::size_t max_payload = PacketRing::max_packet - headers;

Bytes pattern(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 7 + size);
  return out;
}

SocketAddress local(std::uint16_t port) {
  return {.ip = *IpAddress::parse("127.0.0.1"), .port = port};
}

class LoopbackRingTest : public ::testing::Test {
 protected:
  static constexpr std::uint16_t port = 4000;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    if (!kernel_is_at_least(6, 2)) GTEST_SKIP() << "needs kernel 6.2";
    netns_ = std::move(*create_netns());
    scope_.emplace(std::move(*NetnsScope::enter(netns_.get())));
    ASSERT_TRUE(netlink::Socket::open()->set_up("lo", true));
    socket_ = std::move(*open_udp_listener(local(port)));
    sender_ = open_udp_connection(local(port));
    ASSERT_TRUE(sender_);
  }
  void open_ring() {
    auto ring = LoopbackRing::to(local(port));
    ASSERT_TRUE(ring) << ring.error().message;
    ring_.emplace(std::move(*ring));
    ASSERT_TRUE(LoopbackRing::stand_beside(socket_.get()));
  }
  void send(const Bytes& bytes, std::size_t segment_size = 0) const {
    SendBatch batch;
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    batch.add({.fd = sender_.get(), .segment_size = segment_size}, {&piece, 1});
    ASSERT_EQ(batch.flush().failed, 0U);
  }
  /// What comes next, from the ring or the socket.
  struct Received {
    bool ring = false;
    Bytes bytes;
    std::size_t segment_size = 0;
    SocketAddress from;
  };
  std::optional<Received> receive(int limit_ms = 10'000) {
    std::array<pollfd, 2> waiting{{{ring_->fd(), POLLIN, 0}, {socket_.get(), POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), limit_ms) <= 0) return std::nullopt;
    if (waiting[0].revents != 0) {
      const auto datagram = ring_->next();
      std::optional<Received> out;
      if (datagram)
        out = {true, Bytes(datagram->payload.begin(), datagram->payload.end()),
               datagram->segment_size, datagram->from};
      ring_->release();
      return out;
    }
    ReceiveBatch batch;
    if (batch.receive(socket_.get(), 1) != 1) return std::nullopt;
    return Received{false, Bytes(batch.data(0).begin(), batch.data(0).end()), batch.segment_size(0),
                    batch.sender(0)};
  }
  [[nodiscard]] SocketAddress senders_address() const {
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    EXPECT_EQ(::getsockname(sender_.get(), reinterpret_cast<sockaddr*>(&name), &length), 0);
    return SocketAddress::from(name);
  }

  Fd netns_;
  std::optional<NetnsScope> scope_;
  Fd socket_, sender_;
  std::optional<LoopbackRing> ring_;
};

TEST_F(LoopbackRingTest, EachDatagramComesOnceThroughRingOrSocket) {
  open_ring();
  for (const int discovery : {IP_PMTUDISC_WANT, IP_PMTUDISC_DONT}) {
    ASSERT_EQ(
        ::setsockopt(sender_.get(), IPPROTO_IP, IP_MTU_DISCOVER, &discovery, sizeof discovery), 0);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1400}, max_payload,
                                   max_payload + 1, std::size_t{9000}, std::size_t{65507}}) {
      send(pattern(size));
      const auto received = receive();
      ASSERT_TRUE(received) << size;
      EXPECT_EQ(received->bytes, pattern(size)) << size;
      EXPECT_EQ(received->ring, size <= max_payload) << size;
      EXPECT_EQ(received->from, senders_address());
      EXPECT_EQ(received->segment_size, 0U);
    }
  }
  send(pattern(77));  // what comes next is the next, and nothing came twice
  EXPECT_EQ(receive()->bytes, pattern(77));
  EXPECT_FALSE(receive(0));
}

TEST_F(LoopbackRingTest, SuperDatagramsComeWhole) {
  open_ring();
  for (const auto& [size, segment] : {std::pair<std::size_t, std::size_t>{200, 100},
                                      {201, 100},
                                      {max_payload, 400},
                                      {max_payload + 1, 400},
                                      {14000, 1400}}) {
    send(pattern(size), segment);
    const auto received = receive();
    ASSERT_TRUE(received) << size;
    EXPECT_EQ(received->bytes, pattern(size)) << size;
    EXPECT_EQ(received->ring, size <= max_payload) << size;
    EXPECT_EQ(received->segment_size, segment) << size;
  }
  EXPECT_FALSE(receive(0));
}

TEST_F(LoopbackRingTest, WhatIsForOthersIsLeftAlone) {
  open_ring();
  const auto other = std::move(*open_udp_listener(local(port + 1)));
  const auto to_other = open_udp_connection(local(port + 1));
  ASSERT_EQ(::send(to_other.get(), "other", 5, 0), 5);
  const Fd elsewhere = std::move(*open_udp_listener({*IpAddress::parse("127.0.0.2"), port}));
  const auto to_elsewhere = open_udp_connection({*IpAddress::parse("127.0.0.2"), port});
  ASSERT_EQ(::send(to_elsewhere.get(), "elsewhere", 9, 0), 9);
  send(pattern(5));
  EXPECT_EQ(receive()->bytes, pattern(5));
  ReceiveBatch batch;
  EXPECT_EQ(batch.receive(other.get()), 1U);
  EXPECT_EQ(batch.receive(elsewhere.get()), 1U);
}

TEST_F(LoopbackRingTest, ServicesAreKnownByTheirAddresses) {
  const std::vector services{local(port + 5), local(port)};
  auto ring = LoopbackRing::from(services);
  ASSERT_TRUE(ring) << ring.error().message;
  ring_.emplace(std::move(*ring));
  ASSERT_TRUE(LoopbackRing::stand_beside(sender_.get()));
  const auto answer = [&](const Fd& service, const SocketAddress& to, const Bytes& bytes) {
    sockaddr_storage name{};
    const auto length = to.store(name);
    ASSERT_EQ(::sendto(service.get(), bytes.data(), bytes.size(), 0,
                       reinterpret_cast<const sockaddr*>(&name), length),
              static_cast<ssize_t>(bytes.size()));
  };
  const auto client = senders_address();
  const auto other = std::move(*open_udp_listener(local(port + 5)));
  const auto stranger = std::move(*open_udp_listener(local(port + 6)));
  answer(stranger, client, pattern(4));
  answer(socket_, client, pattern(5));
  answer(other, client, pattern(6));
  std::swap(socket_, sender_);  // so that receive() looks at the client's
  for (const std::uint16_t from : {port, std::uint16_t{port + 5}}) {
    const auto received = receive();
    ASSERT_TRUE(received);
    EXPECT_TRUE(received->ring);
    EXPECT_EQ(received->from, local(from));
  }
  EXPECT_FALSE(receive(0));
}

/// An IP packet with UDP that no socket made.
class ForgedDatagram {
 public:
  explicit ForgedDatagram(std::uint16_t port) {
    bytes_.resize(headers + payload);
    auto* ip = bytes_.data();
    ip[0] = std::byte{0x45};
    ip[8] = std::byte{64};
    ip[9] = std::byte{IPPROTO_UDP};
    for (const int at : {12, 16}) {
      ip[at] = std::byte{127};
      ip[at + 3] = std::byte{1};
    }
    auto* udp = ip + 20;
    wire::store16(udp, 9999);
    wire::store16(udp + 2, port);
    wire::store16(udp + 4, 8 + payload);
  }
  void set_checksum(std::uint16_t difference) {
    auto* udp = bytes_.data() + 20;
    const auto sum = wire::sum_pseudo_header4(bytes_.data() + 12, IPPROTO_UDP, 8 + payload) +
                     wire::sum_bytes(std::span(bytes_).subspan(20));
    wire::store_raw(udp + 6, static_cast<std::uint16_t>(wire::finish_udp(sum) ^ difference));
  }
  void send() const {
    const Fd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    sockaddr_storage name{};
    const auto length = local(0).store(name);
    EXPECT_EQ(::sendto(fd.get(), bytes_.data(), bytes_.size(), 0,
                       reinterpret_cast<const sockaddr*>(&name), length),
              static_cast<ssize_t>(bytes_.size()));
  }

 private:
  static constexpr std::uint16_t payload = 6;
  Bytes bytes_;
};

TEST_F(LoopbackRingTest, WrongChecksumsAreNotReceived) {
  open_ring();
  ForgedDatagram forged(port);
  forged.send();  // none
  EXPECT_TRUE(receive());
  forged.set_checksum(0);
  forged.send();
  EXPECT_TRUE(receive());
  forged.set_checksum(0x0100);
  forged.send();
  EXPECT_FALSE(receive(100)) << "as with a socket";
  send(pattern(3));
  EXPECT_EQ(receive()->bytes, pattern(3));
}

TEST_F(LoopbackRingTest, ThereIsNoneWhereDatagramsMayBeFragmentsOrEncrypted) {
  auto netlink = std::move(*netlink::Socket::open());
  ASSERT_TRUE(netlink.set_mtu("lo", 1500));
  EXPECT_EQ(LoopbackRing::to(local(port)).error().code, EMSGSIZE);
  ASSERT_TRUE(netlink.set_mtu("lo", 65536));
  ASSERT_TRUE(sysctl::write("net/ipv4/conf/lo/disable_xfrm", "0"));
  EXPECT_EQ(LoopbackRing::to(local(port)).error().code, EBUSY);
  ASSERT_TRUE(sysctl::write("net/ipv4/conf/lo/disable_xfrm", "1"));
  EXPECT_TRUE(LoopbackRing::to(local(port)));
}

}  // namespace
}  // namespace warren
