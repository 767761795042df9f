// Two interfaces on one loop, in namespaces that a veth pair joins:
//
//     netns a    wga 10.9.0.1, fd09::1 ── 192.0.2.1, 2001:db8::1 ─ veth ─ 192.0.2.2, .3, 2001:db8::2 ── wgb 10.9.0.2, fd09::2    netns b
#include "tunnel/wireguard_interface.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::tunnel {
namespace {

using wireguard::DeviceConfig;
using wireguard::Endpoint;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

IpAddress address(const char* text) { return must(IpAddress::parse(text)); }
IpPrefix prefix(const char* text) { return must(IpPrefix::parse(text)); }

/// A loop in a thread of its own, and things to be done there.
class LoopThread {
 public:
  LoopThread() {
    std::promise<Loop*> made;
    thread_ = std::thread([this, &made] {
      auto loop = must(Loop::create());
      wake_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      auto watch = must(loop->watch(wake_.get(), [this] { run_posted(); }));
      made.set_value(loop.get());
      must(loop->run());
    });
    loop_ = made.get_future().get();
  }
  ~LoopThread() {
    loop_->stop();
    thread_.join();
  }
  /// Returns what `action(loop)` returns there.
  template <class Action>
  auto run(Action&& action) {
    std::packaged_task<decltype(action(*loop_))()> task([&] { return action(*loop_); });
    auto result = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      posted_ = [&] { task(); };
    }
    ::eventfd_write(wake_.get(), 1);
    return result.get();
  }

 private:
  void run_posted() {
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
    std::function<void()> action;
    {
      const std::lock_guard lock(mutex_);
      action.swap(posted_);
    }
    if (action) action();
  }

  std::thread thread_;
  Loop* loop_ = nullptr;
  Fd wake_;
  std::mutex mutex_;
  std::function<void()> posted_;
};

struct Host {
  Fd netns = must(create_netns());
  crypto::Key key = crypto::x25519_generate();
  std::unique_ptr<WireguardInterface> interface;
  std::atomic<int> device_error{0};

  [[nodiscard]] netlink::Socket netlink() const { return must(netlink::Socket::open(netns.get())); }
  [[nodiscard]] crypto::PublicKey public_key() const { return crypto::x25519_public(key); }
};

class WireguardInterfaceTest : public ::testing::Test {
 protected:
  static constexpr std::uint16_t port = 51820;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    loop_.emplace();
    auto at_a = a_.netlink();
    must(at_a.create_veth({.name = "veth", .peer_name = "veth", .peer_netns = b_.netns.get()}));
    set_up_link(a_, "veth", {"192.0.2.1/24", "2001:db8::1/64"});
    set_up_link(b_, "veth", {"192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64"});
    make_interface(a_, b_, "wga", {"10.9.0.1/24", "fd09::1/64"}, "10.9.0.2/32", "fd09::2/128");
    make_interface(b_, a_, "wgb", {"10.9.0.2/24", "fd09::2/64"}, "10.9.0.1/32", "fd09::1/128");
    tell_endpoint("192.0.2.2");
  }
  void TearDown() override {
    if (!loop_) return;
    loop_->run([this](Loop&) {
      a_.interface.reset();
      b_.interface.reset();
    });
  }

  static void set_up_link(const Host& host, const char* name,
                          const std::vector<const char*>& addresses) {
    auto socket = host.netlink();
    for (const auto* text : addresses) must(socket.add_address(name, prefix(text)));
    must(socket.set_up(name, true));
    must(socket.set_up("lo", true));
  }

  void make_interface(Host& host, const Host& peer, const char* name,
                      const std::vector<const char*>& addresses, const char* allowed4,
                      const char* allowed6) {
    loop_->run([&](Loop& loop) {
      const auto scope = must(NetnsScope::enter(host.netns.get()));
      TunConfig device;
      device.name = name;
      device.mtu = 1420;
      device.up = false;
      device.offload = true;
      auto tun = must(Tun::open(device));
      WireguardInterface::Options options;
      options.threads = 2;
      options.on_device_gone = [&host](int error) { host.device_error = error; };
      host.interface = must(WireguardInterface::create(loop, std::move(tun), std::move(options)));
      DeviceConfig config;
      config.private_key = host.key;
      config.listen_port = port;
      config.peers.push_back({.public_key = peer.public_key(),
                              .allowed_ips = {{prefix(allowed4)}, {prefix(allowed6)}}});
      must(host.interface->configure(config));
    });
    set_up_link(host, name, addresses);
  }

  Result<> configure(Host& host, const DeviceConfig& config) {
    return loop_->run([&](Loop&) { return host.interface->configure(config); });
  }
  /// A is told where b is.
  void tell_endpoint(const char* where) {
    DeviceConfig config;
    config.peers.push_back(
        {.public_key = b_.public_key(), .endpoint = Endpoint{address(where), port, 0, {}}});
    must(configure(a_, config));
  }
  Endpoint endpoint_of_b() {
    return loop_->run([&](Loop&) {
      Endpoint out;
      a_.interface->for_each_peer([&](const auto& peer) { out = *peer.endpoint; });
      return out;
    });
  }

  static Fd open_socket(const Host& host, const IpAddress& local, int type, sockaddr_storage& name,
                        socklen_t& length) {
    const auto scope = must(NetnsScope::enter(host.netns.get()));
    Fd fd(::socket(local.ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    length = SocketAddress{local, 7000, 0}.store(name);
    return fd;
  }

  /// A datagram from a to b and back. False where it does not arrive within `tries` attempts.
  static bool echo(const Host& a, const Host& b, const char* to, std::size_t size, int tries = 50) {
    sockaddr_storage name{};
    socklen_t length = 0;
    const Fd server = open_socket(b, address(to), SOCK_DGRAM, name, length);
    EXPECT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    const Fd client = open_socket(a, address(to), SOCK_DGRAM, name, length);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    const timeval moment{.tv_sec = 0, .tv_usec = 200'000};
    for (const int fd : {server.get(), client.get()})
      ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    std::vector<char> out(size, 'x');
    std::vector<char> in(size + 1);
    for (int i = 0; i < tries; ++i) {
      out[size / 2] = static_cast<char>(i);
      if (::send(client.get(), out.data(), size, 0) < 0) continue;
      sockaddr_storage from{};
      socklen_t from_length = sizeof from;
      const auto got = ::recvfrom(server.get(), in.data(), in.size(), 0,
                                  reinterpret_cast<sockaddr*>(&from), &from_length);
      if (got != static_cast<ssize_t>(size)) continue;
      ::sendto(server.get(), in.data(), size, 0, reinterpret_cast<sockaddr*>(&from), from_length);
      // On a busy machine it may be the answer to the one before.
      if (::recv(client.get(), in.data(), in.size(), 0) == static_cast<ssize_t>(size) &&
          std::equal(out.begin(), out.end(), in.begin()))
        return true;
    }
    return false;
  }

  /// All of `block` by calls that may do a part of it or nothing, as where the process was stopped.
  template <class Call>
  static bool in_parts(std::vector<std::uint64_t>& block, Call call) {
    auto rest = std::as_writable_bytes(std::span(block));
    while (!rest.empty()) {
      const auto done = call(rest.data(), rest.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      rest = rest.subspan(static_cast<std::size_t>(done));
    }
    return true;
  }

  /// 20 MB over TCP, which arrive as they were sent.
  static void transfer(const Host& from, const Host& to, const char* where) {
    sockaddr_storage name{};
    socklen_t length = 0;
    const Fd listener = open_socket(to, address(where), SOCK_STREAM, name, length);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    const Fd client = open_socket(from, address(where), SOCK_STREAM, name, length);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    const Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::thread sender([&] {
      std::mt19937_64 random(1);
      std::vector<std::uint64_t> block(8192);
      for (int i = 0; i < 320; ++i) {
        for (auto& word : block) word = random();
        ASSERT_TRUE(in_parts(block, [&](const auto* data, auto size) {
          return ::send(client.get(), data, size, MSG_NOSIGNAL);
        }));
      }
    });
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> block(8192);
    for (int i = 0; i < 320; ++i) {
      const bool got = in_parts(
          block, [&](auto* data, auto size) { return ::recv(server.get(), data, size, 0); });
      EXPECT_TRUE(got) << std::strerror(errno);
      if (!got) break;
      EXPECT_TRUE(std::ranges::all_of(block, [&](auto word) { return word == random(); })) << i;
    }
    ::shutdown(client.get(), SHUT_RDWR);
    sender.join();
  }

  std::optional<LoopThread> loop_;
  Host a_;
  Host b_;
};

TEST_F(WireguardInterfaceTest, CarriesEverythingOverIpv4AndIpv6) {
  for (const auto* outside : {"192.0.2.2", "2001:db8::2"}) {
    tell_endpoint(outside);
    for (const auto* inside : {"10.9.0.2", "fd09::2"}) {
      for (const std::size_t size : {1, 17, 1000, 1372, 4000, 60000})
        EXPECT_TRUE(echo(a_, b_, inside, size)) << outside << " " << inside << " " << size;
      transfer(a_, b_, inside);
    }
    transfer(b_, a_, "10.9.0.1");
    transfer(b_, a_, "fd09::1");
  }
}

TEST_F(WireguardInterfaceTest, IsSilentWhileTheDeviceIsDown) {
  ASSERT_TRUE(echo(a_, b_, "10.9.0.2", 100));
  must(b_.netlink().set_up("wgb", false));
  EXPECT_FALSE(echo(a_, b_, "10.9.0.2", 100, 2));
  must(b_.netlink().set_up("wgb", true));
  // Its sessions are gone: it makes a new one when it has something to send.
  EXPECT_TRUE(echo(b_, a_, "10.9.0.1", 100));
  EXPECT_TRUE(echo(a_, b_, "10.9.0.2", 100));
}

TEST_F(WireguardInterfaceTest, ChangesItsPort) {
  ASSERT_TRUE(echo(a_, b_, "10.9.0.2", 100));
  DeviceConfig config;
  config.listen_port = 5555;
  must(configure(b_, config));
  EXPECT_TRUE(echo(b_, a_, "10.9.0.1", 100)) << "a learns the port from what b sends";
  EXPECT_EQ(endpoint_of_b().port, 5555);
  EXPECT_TRUE(echo(a_, b_, "10.9.0.2", 100));
}

TEST_F(WireguardInterfaceTest, KeepsThePortWhereAnotherIsTaken) {
  Fd taken;
  {
    const auto scope = must(NetnsScope::enter(b_.netns.get()));
    taken = must(open_udp_listener({IpAddress{}, 5555, 0}));
  }
  DeviceConfig config;
  config.listen_port = 5555;
  const auto refused = configure(b_, config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EADDRINUSE) << refused.error().message;
  EXPECT_EQ(b_.interface->status().listen_port, port);
  EXPECT_TRUE(echo(a_, b_, "10.9.0.2", 100));
}

TEST_F(WireguardInterfaceTest, AnswersFromTheAddressThatThePeerKnows) {
  tell_endpoint("192.0.2.3");
  ASSERT_TRUE(echo(a_, b_, "10.9.0.2", 100));
  EXPECT_EQ(endpoint_of_b().address, address("192.0.2.3"));
  // Until that address is gone.
  must(b_.netlink().remove_address("veth", prefix("192.0.2.3/24")));
  const auto moved = [&] {
    for (int i = 0; i < 100 && endpoint_of_b().address != address("192.0.2.2"); ++i)
      (void)echo(b_, a_, "10.9.0.1", 100, 1);
    return endpoint_of_b().address == address("192.0.2.2");
  };
  EXPECT_TRUE(moved());
  EXPECT_TRUE(echo(a_, b_, "10.9.0.2", 100));
}

TEST_F(WireguardInterfaceTest, KeepsItsSocketsAtHomeWhenTheDeviceMoves) {
  Host elsewhere;
  must(b_.netlink().move_link("wgb", elsewhere.netns.get()));
  set_up_link(elsewhere, "wgb", {"10.9.0.2/24"});
  EXPECT_TRUE(echo(a_, elsewhere, "10.9.0.2", 100));
}

TEST_F(WireguardInterfaceTest, SaysThatTheDeviceIsGone) {
  must(b_.netlink().delete_link("wgb"));
  for (int i = 0; i < 1000 && b_.device_error == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(b_.device_error, 0);
}

}  // namespace
}  // namespace warren::tunnel
