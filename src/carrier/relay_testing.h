/// For tests of the relay: a client's network, a server's, and a pair of interfaces between them, in
/// namespaces without names; relays in threads, and programs that speak UDP or ICMP.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <thread>

#include "carrier/icmp_codec.h"
#include "carrier/icmp_relay.h"
#include "io/udp_socket.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::carrier::testing {

using Bytes = std::vector<std::byte>;
using namespace std::chrono_literals;

inline constexpr Tag tag{.value = 0x3fa2};
/// Of an echo request that is nobody's.
inline constexpr Tag ordinary{.value = 0, .profile = Profile::tutu};
inline constexpr std::uint16_t relay_port = 51820;
inline constexpr std::uint16_t service_port = 51821;

inline SocketAddress address(const std::string& ip, std::uint16_t port) {
  return {.ip = *IpAddress::parse(ip), .port = port};
}

inline Bytes pattern(std::size_t size, unsigned seed = 0) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 7 + seed);
  return out;
}

inline Bytes initiation() {
  auto out = pattern(148);
  out[0] = std::byte{1};
  out[1] = out[2] = out[3] = std::byte{0};
  return out;
}

/// A relay, or both, in a thread of its own.
class Runner {
 public:
  template <class Start>
  Runner(int netns, Start&& start) {
    std::promise<Result<>> started;
    auto ready = started.get_future();
    thread_ = std::thread([this, netns, start, &started] {
      auto scope = NetnsScope::enter(netns);
      loop_ = std::move(*Loop::create(Loop::Backend::epoll));
      auto relay = start(*loop_);
      if (!relay) {
        started.set_value(tl::unexpected(relay.error()));
        return;
      }
      relay_ = std::move(*relay);
      started.set_value({});
      EXPECT_TRUE(loop_->run());
      relay_.reset();
    });
    const auto result = ready.get();
    if (!result) error_ = result.error().message;
  }
  ~Runner() { stop(); }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const IcmpRelayCounters& counters() const { return relay_->counters(); }
  void stop() {
    if (!thread_.joinable()) return;
    if (error_.empty()) loop_->stop();
    thread_.join();
  }

 private:
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<IcmpRelay> relay_;
  std::string error_;
  std::thread thread_;
};

/// Waits for something that another thread does.
template <class Condition>
[[nodiscard]] bool until_true(Condition&& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A program that speaks UDP.
class Program {
 public:
  Program(int netns, const SocketAddress& local) {
    auto scope = NetnsScope::enter(netns);
    auto fd = open_udp_listener(local);
    EXPECT_TRUE(fd) << fd.error().message;
    fd_ = std::move(*fd);
    const int off = 0;
    ::setsockopt(fd_.get(), IPPROTO_UDP, UDP_GRO, &off, sizeof off);
  }
  void send(const SocketAddress& to, const Bytes& bytes) const {
    sockaddr_storage name{};
    const auto length = to.store(name);
    EXPECT_EQ(::sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&name),
                       length),
              static_cast<ssize_t>(bytes.size()));
  }
  /// One system call, with the kernel told to cut it.
  void send_segmented(const SocketAddress& to, const Bytes& bytes, std::uint16_t segment) const {
    SendBatch batch;
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    batch.add({.fd = fd_.get(), .to = &to, .segment_size = segment}, {&piece, 1});
    EXPECT_EQ(batch.flush().failed, 0U);
  }
  struct Received {
    Bytes bytes;
    SocketAddress from;
  };
  /// Nothing where none comes within the time.
  [[nodiscard]] std::optional<Received> receive(std::chrono::milliseconds limit = 10s) const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
    Received out{Bytes(65536), {}};
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    const auto size = ::recvfrom(fd_.get(), out.bytes.data(), out.bytes.size(), 0,
                                 reinterpret_cast<sockaddr*>(&name), &length);
    if (size < 0) return std::nullopt;
    out.bytes.resize(static_cast<std::size_t>(size));
    out.from = SocketAddress::from(name);
    return out;
  }
  [[nodiscard]] Bytes receive_bytes() const {
    auto received = receive();
    return received ? std::move(received->bytes) : Bytes{};
  }

 private:
  Fd fd_;
};

/// Sends until `service` receives; a new IPv6 address works a moment after it was added.
[[nodiscard]] inline std::optional<Program::Received> send_until_received(const Program& program,
                                                                          const SocketAddress& to,
                                                                          const Bytes& bytes,
                                                                          const Program& service) {
  std::optional<Program::Received> received;
  (void)until_true([&] {
    program.send(to, bytes);
    received = service.receive(50ms);
    return received.has_value();
  });
  return received;
}

/// Sends ICMP messages byte by byte, and sees the replies that come back.
class Pinger {
 public:
  Pinger(int netns, bool ipv6) : ipv6_(ipv6) {
    auto scope = NetnsScope::enter(netns);
    fd_ = Fd(ipv6 ? ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6)
                  : ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    EXPECT_TRUE(fd_);
  }
  /// It may fail while addresses change; then nothing arrives.
  void send(const std::string& host, const Bytes& message) const {
    sockaddr_storage name{};
    const auto length = address(host, 0).store(name);
    [[maybe_unused]] const auto sent = ::sendto(fd_.get(), message.data(), message.size(), 0,
                                                reinterpret_cast<sockaddr*>(&name), length);
  }
  /// An echo request that belongs to `user`; see `ordinary`.
  [[nodiscard]] Bytes request(Tag user, std::uint16_t identifier, const Bytes& payload) const {
    Bytes out(echo_header_length + payload.size());
    std::copy(payload.begin(), payload.end(), out.begin() + echo_header_length);
    write_echo_header(out.data(), {.identifier = identifier, .sequence = 1}, user, {.ipv6 = ipv6_},
                      payload.size(), wire::sum_bytes(payload));
    return out;
  }
  /// The data of the echo reply with this identifier; nothing where none comes.
  [[nodiscard]] std::optional<Bytes> reply(std::uint16_t identifier,
                                           std::chrono::milliseconds limit = 10s) const {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
      const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      pollfd waiting{fd_.get(), POLLIN, 0};
      if (rest.count() < 0 || ::poll(&waiting, 1, static_cast<int>(rest.count())) != 1)
        return std::nullopt;
      Bytes bytes(65536);
      const auto size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (size < 0) return std::nullopt;
      bytes.resize(static_cast<std::size_t>(size));
      if (!ipv6_) bytes.erase(bytes.begin(), bytes.begin() + 20);
      const auto fields = read_echo_header(bytes, {.ipv6 = ipv6_});
      if (!fields || fields->direction != IcmpDirection::reply || fields->identifier != identifier)
        continue;
      EXPECT_TRUE(ipv6_ || verify_echo(bytes, {}));
      return Bytes(bytes.begin() + echo_header_length, bytes.end());
    }
  }

 private:
  bool ipv6_;
  Fd fd_;
};

class IcmpRelayTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    client_ = std::move(*create_netns());
    server_ = std::move(*create_netns());
    auto left = std::move(*netlink::Socket::open(client_.get()));
    auto right = std::move(*netlink::Socket::open(server_.get()));
    ASSERT_TRUE(left.create_veth({.name = "a", .peer_name = "b", .peer_netns = server_.get()}));
    const auto bring_up = [](netlink::Socket& socket, const std::string& name,
                             const std::string& host) {
      ASSERT_TRUE(socket.set_up("lo", true));
      ASSERT_TRUE(socket.set_up(name, true));
      ASSERT_TRUE(socket.add_address(name, *IpPrefix::parse("10.7.0." + host + "/24")));
      ASSERT_TRUE(socket.add_address(name, *IpPrefix::parse("fd07::" + host + "/64")));
    };
    bring_up(left, "a", "1");
    bring_up(right, "b", "2");
    ASSERT_TRUE(pings_are_answered());
  }
  // The first packets wait for the carrier and for neighbours, and some are lost in that.
  [[nodiscard]] bool pings_are_answered() const {
    const auto pinger = this->pinger();
    return until_true([&] {
      pinger.send(server_host(), pinger.request(ordinary, 0xeeee, {}));
      return pinger.reply(0xeeee, 20ms).has_value();
    });
  }

  [[nodiscard]] bool ipv6() const { return GetParam(); }
  [[nodiscard]] std::string server_host() const { return ipv6() ? "fd07::2" : "10.7.0.2"; }
  [[nodiscard]] SocketAddress loopback(std::uint16_t port) const {
    return address(ipv6() ? "::1" : "127.0.0.1", port);
  }
  [[nodiscard]] IcmpRelayClientConfig client_config() const {
    return {.listen = loopback(relay_port), .ticket = {"alice", {server_host(), 51820}, tag}};
  }
  [[nodiscard]] IcmpRelayServerConfig server_config() const {
    return {.users = {{tag, loopback(service_port)}}};
  }
  /// Any first packet opens a conversation.
  [[nodiscard]] IcmpRelayServerConfig open_server_config() const {
    auto config = server_config();
    config.any_first = true;
    return config;
  }
  [[nodiscard]] Runner run_client(const IcmpRelayClientConfig& config) const {
    return Runner(client_.get(),
                  [config](Loop& loop) { return start_icmp_relay_client(loop, config); });
  }
  [[nodiscard]] Runner run_server(const IcmpRelayServerConfig& config) const {
    return Runner(server_.get(),
                  [config](Loop& loop) { return start_icmp_relay_server(loop, config); });
  }
  /// A relay at each end, where any first packet opens a conversation, and who talks through them.
  struct Both {
    Runner client;
    Runner server;
    Program service;
    Program program;
  };
  [[nodiscard]] Both run_both() const {
    return {run_client(client_config()), run_server(open_server_config()), service(), program()};
  }
  [[nodiscard]] Pinger pinger() const { return {client_.get(), ipv6()}; }
  [[nodiscard]] Program service() const { return {server_.get(), loopback(service_port)}; }
  [[nodiscard]] Program program() const { return {client_.get(), loopback(0)}; }

  Fd client_, server_;
};

}  // namespace warren::carrier::testing
