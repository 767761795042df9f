// Every way of forwarding between two TUN devices delivers what was sent, unchanged and in order.
//
//     namespace "left"             namespace "middle"             namespace "right"
//     tun11 10.0.1.1 fd00:1::1 ─── the program under test ─── tun22 10.0.2.1 fd00:2::1
//
// The programs are the examples of the library and `warren up`; the traffic is the kernel's own:
// TCP streams, UDP datagrams of random sizes, UDP super-packets (UDP_SEGMENT) and pings, over IPv4
// and IPv6, at a small and at the largest MTU. The namespaces have no names and die with the test.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <thread>

#include <warren/loop.h>

#include "linux/ethtool.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren {
namespace {

constexpr int patience_ms =
    20000;  // for a condition that comes true at once where nothing is wrong

struct Mode {
  std::string name;
  std::vector<std::string>
      command;                ///< the program and what is its own; devices and MTU are appended
  bool network_file = false;  ///< `warren up`: devices and MTU are in a file
  bool needs_io_uring = false;
};

// For the names of failed tests.
void PrintTo(const Mode& mode, std::ostream* out) { *out << mode.name; }

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// A folder that goes with the object.
struct ScratchFolder {
  ScratchFolder() {
    auto name = (std::filesystem::temp_directory_path() / "warren-forwarding-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

/// A child that is killed with the object, also where the network's constructor fails.
struct Child {
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid = -1;
};

class Network {
 public:
  Network(const Mode& mode, unsigned mtu) : mtu_(mtu) {
    if (mode.network_file) write_network_file();
    start(mode);
    if (!mode.network_file) {
      take_device("tun11", left_);
      take_device("tun22", right_);
    }
    configure(left_, "tun11", {"10.0.1.1/24", "fd00:1::1/64"}, {"10.0.2.0/24", "fd00:2::/64"});
    configure(right_, "tun22", {"10.0.2.1/24", "fd00:2::1/64"}, {"10.0.1.0/24", "fd00:1::/64"});
  }

  /// SIGTERM ends the program with status 0.
  void stop() {
    ::kill(child_.pid, SIGTERM);
    int status = -1;
    ::waitpid(std::exchange(child_.pid, -1), &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  }
  int left() const { return left_.get(); }
  int right() const { return right_.get(); }
  unsigned mtu() const { return mtu_; }
  /// The sending device does.
  bool completes_checksums() const {
    const auto scope = must(NetnsScope::enter(left_.get()));
    return must(ethtool::features("tun11")).at("tx-checksum-ip-generic");
  }

 private:
  void write_network_file() {
    std::ofstream file(folder_.path / "network.toml");
    file << "links = [[\"tun11\", \"tun22\"]]\n";
    for (const auto& [name, netns] : {std::pair{"tun11", &left_}, std::pair{"tun22", &right_}})
      file << fmt::format("[tun.{}]\nnetns = \"/proc/{}/fd/{}\"\nmtu = {}\n", name, ::getpid(),
                          netns->get(), mtu_);
  }

  void start(const Mode& mode) {
    auto words = mode.command;
    if (mode.network_file)
      words.push_back(folder_.path / "network.toml");
    else
      for (const std::string word : {"--iface1", "tun11", "--ip1", "10.0.1.1", "--iface2", "tun22",
                                     "--ip2", "10.0.2.1", "--mtu"})
        words.push_back(word);
    if (!mode.network_file) words.push_back(std::to_string(mtu_));
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const auto parent = ::getpid();
    child_.pid = ::fork();
    if (child_.pid < 0) throw std::runtime_error("fork failed");
    if (child_.pid > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setenv("WARREN_RUN_DIR", folder_.path.c_str(), 1);
    if (::getppid() != parent || !enter_netns(middle_.get())) ::_exit(126);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  // Waits until `done`, while the program runs.
  template <class Condition>
  void wait(const std::string& what, Condition&& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    while (!done()) {
      if (::waitpid(child_.pid, nullptr, WNOHANG) == child_.pid) {
        child_.pid = -1;
        throw std::runtime_error("the program ended before " + what);
      }
      if (std::chrono::steady_clock::now() > deadline)
        throw std::runtime_error("waited in vain for " + what);
      std::this_thread::yield();
    }
  }

  void take_device(const std::string& name, const Fd& netns) {
    auto socket = must(netlink::Socket::open(middle_.get()));
    // Up is the last thing that a program makes of a device.
    wait(name, [&] {
      const auto link = socket.link(name);
      return link && link->up;
    });
    must(socket.move_link(name, netns.get()));
  }

  void configure(const Fd& netns, const std::string& name,
                 const std::vector<std::string>& addresses,
                 const std::vector<std::string>& routes) {
    auto socket = must(netlink::Socket::open(netns.get()));
    wait(name, [&] { return socket.link(name).has_value(); });
    must(socket.set_up("lo", true));
    must(socket.set_mtu(name, mtu_));
    must(socket.set_up(name, true));
    for (const auto& address : addresses)
      must(socket.add_address(name, must(IpPrefix::parse(address))));
    for (const auto& route : routes)
      must(socket.add_route(name, Route{must(IpPrefix::parse(route))}));
  }

  unsigned mtu_;
  ScratchFolder folder_;
  Fd left_ = must(create_netns());
  Fd middle_ = must(create_netns());
  Fd right_ = must(create_netns());
  Child child_;
};

/// An address of one end of the network.
struct Address {
  Address(bool ipv6, bool right, std::uint16_t port) {
    if (ipv6) {
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
      *in6 = {};
      in6->sin6_family = AF_INET6;
      in6->sin6_port = htons(port);
      ::inet_pton(AF_INET6, right ? "fd00:2::1" : "fd00:1::1", &in6->sin6_addr);
      length = sizeof *in6;
    } else {
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      *in = {};
      in->sin_family = AF_INET;
      in->sin_port = htons(port);
      ::inet_pton(AF_INET, right ? "10.0.2.1" : "10.0.1.1", &in->sin_addr);
      length = sizeof *in;
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Fd open_socket(int netns, bool ipv6, int type, int protocol = 0) {
  auto scope = must(NetnsScope::enter(netns));
  Fd fd(::socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, protocol));
  if (!fd) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
  const timeval patience{patience_ms / 1000, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const int buffer = 8 << 20;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  return fd;
}

/// A stream of bytes that both ends can compute.
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : random_(seed) {}
  void fill(std::span<std::uint8_t> out) {
    for (auto& byte : out) {
      if (left_ == 0) {
        word_ = random_();
        left_ = 8;
      }
      byte = static_cast<std::uint8_t>(word_);
      word_ >>= 8;
      --left_;
    }
  }

 private:
  std::mt19937_64 random_;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

void send_stream(int fd, std::uint64_t seed, std::size_t total) {
  Stream stream(seed);
  std::vector<std::uint8_t> chunk(100000);
  for (std::size_t sent = 0; sent < total;) {
    const auto size = std::min(chunk.size(), total - sent);
    stream.fill({chunk.data(), size});
    for (std::size_t at = 0; at < size;) {
      const auto count = ::send(fd, chunk.data() + at, size - at, MSG_NOSIGNAL);
      ASSERT_GT(count, 0) << std::strerror(errno);
      at += static_cast<std::size_t>(count);
    }
    sent += size;
  }
}

void expect_stream(int fd, std::uint64_t seed, std::size_t total) {
  Stream stream(seed);
  std::vector<std::uint8_t> got(100000);
  std::vector<std::uint8_t> expected(got.size());
  for (std::size_t received = 0; received < total;) {
    const auto count = ::recv(fd, got.data(), std::min(got.size(), total - received), 0);
    ASSERT_GT(count, 0) << "after " << received << " bytes: " << std::strerror(errno);
    stream.fill({expected.data(), static_cast<std::size_t>(count)});
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), static_cast<std::size_t>(count)), 0)
        << "different within " << count << " bytes after " << received;
    received += static_cast<std::size_t>(count);
  }
}

// Both directions at once, so that acknowledgements and data share the path.
void exchange_tcp(const Network& network, bool ipv6) {
  constexpr std::size_t total = 8 << 20;
  Fd listener = open_socket(network.right(), ipv6, SOCK_STREAM);
  const Address server(ipv6, true, 7000);
  ASSERT_EQ(::bind(listener.get(), server.get(), server.length), 0) << std::strerror(errno);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  Fd client = open_socket(network.left(), ipv6, SOCK_STREAM);
  ASSERT_EQ(::connect(client.get(), server.get(), server.length), 0) << std::strerror(errno);
  Fd accepted(::accept(listener.get(), nullptr, nullptr));
  ASSERT_TRUE(accepted);
  const timeval patience{patience_ms / 1000, 0};
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::thread there([&] { send_stream(client.get(), 1, total); });
  std::thread back([&] { send_stream(accepted.get(), 2, total); });
  std::thread arriving([&] { expect_stream(accepted.get(), 1, total); });
  expect_stream(client.get(), 2, total);
  there.join();
  back.join();
  arriving.join();
}

/// Datagrams with a number and a content that follows from it. The receiver confirms each window,
/// so that no queue on the way overflows: what is missing then was lost by the program.
class Datagrams {
 public:
  Datagrams(const Network& network, bool ipv6)
      : sender_(open_socket(network.left(), ipv6, SOCK_DGRAM)),
        receiver_(open_socket(network.right(), ipv6, SOCK_DGRAM)) {
    const Address left(ipv6, false, 7001);
    const Address right(ipv6, true, 7001);
    for (auto [fd, here, there] :
         {std::tuple{&sender_, &left, &right}, std::tuple{&receiver_, &right, &left}}) {
      EXPECT_EQ(::bind(fd->get(), here->get(), here->length), 0) << std::strerror(errno);
      EXPECT_EQ(::connect(fd->get(), there->get(), there->length), 0) << std::strerror(errno);
    }
  }

  static std::vector<std::uint8_t> content(std::uint32_t number, std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    Stream(number).fill(bytes);
    return bytes;
  }
  void send(std::span<const std::uint8_t> bytes) {
    ASSERT_EQ(::send(sender_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()))
        << std::strerror(errno);
  }
  /// False where the kernel takes no super-packets for a device that leaves checksums to it (before
  /// 6.11).
  [[nodiscard]] bool send_segments(std::span<const std::uint8_t> bytes, std::uint16_t segment) {
    iovec vector{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof segment)] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
    const auto sent = ::sendmsg(sender_.get(), &message, 0);
    if (sent < 0 && errno == EIO) return false;
    EXPECT_EQ(sent, static_cast<ssize_t>(bytes.size())) << std::strerror(errno);
    return true;
  }
  void expect(std::uint32_t number, std::size_t size) {
    std::vector<std::uint8_t> got(65536);
    const auto count = ::recv(receiver_.get(), got.data(), got.size(), 0);
    ASSERT_EQ(count, static_cast<ssize_t>(size))
        << "datagram " << number << ": " << std::strerror(errno);
    got.resize(size);
    ASSERT_EQ(got, content(number, size)) << "datagram " << number;
  }

 private:
  Fd sender_;
  Fd receiver_;
};

void exchange_udp(const Network& network, bool ipv6) {
  Datagrams datagrams(network, ipv6);
  const std::size_t largest = network.mtu() - (ipv6 ? 48 : 28);
  std::mt19937 random(3);
  const std::uint32_t rounds = network.mtu() > 9000 ? 50 : 100;
  std::uint32_t number = 0;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    std::vector<std::size_t> sizes(16);
    for (auto& size : sizes) size = 1 + random() % largest;
    if (round == 0) sizes = {1, largest, 2, largest - 1};
    for (std::uint32_t i = 0; i < sizes.size(); ++i)
      ASSERT_NO_FATAL_FAILURE(datagrams.send(Datagrams::content(number + i, sizes[i])));
    for (const auto size : sizes) ASSERT_NO_FATAL_FAILURE(datagrams.expect(number++, size));
  }
}

void exchange_udp_segments(const Network& network, bool ipv6) {
  Datagrams datagrams(network, ipv6);
  const std::size_t largest = std::min<std::size_t>(network.mtu() - (ipv6 ? 48 : 28), 20000);
  std::mt19937 random(4);
  std::uint32_t number = 0;
  for (int round = 0; round < 60; ++round) {
    const std::size_t segment = round == 0 ? largest : 100 + random() % (largest - 100);
    const std::size_t full = 1 + random() % std::min<std::size_t>(40, 60000 / segment);
    std::vector<std::size_t> sizes(full, segment);
    if (round % 2 == 1) sizes.push_back(1 + random() % segment);  // the last may be shorter
    if (sizes.size() * segment > 62000) sizes.pop_back();
    std::vector<std::uint8_t> bytes;
    for (std::uint32_t i = 0; i < sizes.size(); ++i) {
      const auto content = Datagrams::content(number + i, sizes[i]);
      bytes.insert(bytes.end(), content.begin(), content.end());
    }
    if (!datagrams.send_segments(bytes, static_cast<std::uint16_t>(segment))) {
      ASSERT_FALSE(network.completes_checksums());
      fmt::print(
          stderr,
          "not tested: UDP super-packets without checksum offload, which need kernel 6.11\n");
      return;
    }
    for (const auto size : sizes) ASSERT_NO_FATAL_FAILURE(datagrams.expect(number++, size));
  }
}

void exchange_pings(const Network& network, bool ipv6) {
  Fd fd = open_socket(network.left(), ipv6, SOCK_RAW,
                      ipv6 ? static_cast<int>(IPPROTO_ICMPV6) : IPPROTO_ICMP);
  const Address target(ipv6, true, 0);
  std::mt19937 random(5);
  for (std::uint16_t sequence = 0; sequence < 100; ++sequence) {
    const std::size_t size = 8 + random() % (network.mtu() - 8 - (ipv6 ? 40 : 20));
    auto request = Datagrams::content(sequence, size);
    auto* icmp = reinterpret_cast<icmphdr*>(request.data());
    *icmp = {};
    icmp->type = ipv6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    icmp->un.echo = {htons(77), htons(sequence)};
    if (!ipv6) {
      std::uint32_t sum = 0;
      for (std::size_t i = 0; i < size; i += 2)
        sum += static_cast<std::uint32_t>(request[i] | (i + 1 < size ? request[i + 1] << 8 : 0));
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
      icmp->checksum = static_cast<std::uint16_t>(~sum);
    }
    ASSERT_EQ(::sendto(fd.get(), request.data(), size, 0, target.get(), target.length),
              static_cast<ssize_t>(size))
        << std::strerror(errno);
    std::vector<std::uint8_t> got(70000);
    for (;;) {
      const auto count = ::recv(fd.get(), got.data(), got.size(), 0);
      ASSERT_GT(count, 0) << "ping " << sequence << ": " << std::strerror(errno);
      const std::size_t header = ipv6 ? 0 : static_cast<std::size_t>(got[0] & 15) * 4;
      const auto* reply = reinterpret_cast<const icmphdr*>(got.data() + header);
      if (reply->type != (ipv6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) ||
          reply->un.echo.id != htons(77))
        continue;
      ASSERT_EQ(ntohs(reply->un.echo.sequence), sequence);
      ASSERT_EQ(static_cast<std::size_t>(count) - header, size);
      ASSERT_EQ(std::memcmp(got.data() + header + 8, request.data() + 8, size - 8), 0);
      break;
    }
  }
}

class Forwarding : public testing::TestWithParam<std::tuple<Mode, unsigned>> {};

TEST_P(Forwarding, DeliversEverythingUnchangedAndInOrder) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for network namespaces and TUN devices";
  const auto& [mode, mtu] = GetParam();
  if (mode.needs_io_uring)
    if (const auto loop = Loop::create(Loop::Backend::io_uring); !loop)
      GTEST_SKIP() << loop.error().message;
  Network network(mode, mtu);
  for (const bool ipv6 : {false, true}) {
    SCOPED_TRACE(ipv6 ? "IPv6" : "IPv4");
    ASSERT_NO_FATAL_FAILURE(exchange_pings(network, ipv6));
    ASSERT_NO_FATAL_FAILURE(exchange_udp(network, ipv6));
    ASSERT_NO_FATAL_FAILURE(exchange_udp_segments(network, ipv6));
    ASSERT_NO_FATAL_FAILURE(exchange_tcp(network, ipv6));
  }
  network.stop();
}

Mode example(std::string name, const std::string& program, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), std::string(WARREN_BIN) + "/examples/" + program);
  return {std::move(name), std::move(flags)};
}

std::vector<Mode> modes() {
  const std::string warren = std::string(WARREN_BIN) + "/warren";
  return {
      {"up", {warren, "up"}, true},
      {"up_epoll", {warren, "up", "--io", "epoll"}, true},
      example("sync", "sync"),
      example("sync_offload", "sync", {"--offload"}),
      example("sync_channel", "sync_channel"),
      example("sync_channel_offload", "sync_channel", {"--offload"}),
      example("concurrent_offload", "concurrent", {"--offload"}),
      example("batch", "batch"),
      example("batch_offload", "batch", {"--offload"}),
      example("async", "async"),
      example("async_offload", "async", {"--offload"}),
      example("async_one_thread", "async", {"--offload", "--thread", "1"}),
      example("async_channel", "async_channel"),
      example("async_channel_offload", "async_channel", {"--offload"}),
      example("async_channel_offload_pool", "async_channel", {"--offload", "--pool"}),
      example("framed_channel", "framed_channel"),
      example("framed_channel_offload", "framed_channel", {"--offload"}),
      example("pass_through", "pass_through"),
      example("pass_through_concurrent", "pass_through", {"--concurrent"}),
      {"uring", {std::string(WARREN_BIN) + "/examples/uring"}, false, true},
  };
}

std::string test_name(const testing::TestParamInfo<Forwarding::ParamType>& test) {
  return fmt::format("{}_{}", std::get<0>(test.param).name, std::get<1>(test.param));
}

INSTANTIATE_TEST_SUITE_P(Modes, Forwarding,
                         testing::Combine(testing::ValuesIn(modes()),
                                          testing::Values(1500U, 65535U)),
                         test_name);

}  // namespace
}  // namespace warren
