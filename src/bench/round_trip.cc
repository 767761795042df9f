#include "bench/round_trip.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <warren/address.h>

#include "bench/iperf3.h"
#include "bench/wait.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto lost_after = std::chrono::milliseconds(100);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// iperf3's port, which is what a scenario lets through to the server.
Result<SocketAddress> socket_address(const std::string& text) {
  const auto address = IpAddress::parse(text);
  if (!address) return tl::unexpected(address.error());
  SocketAddress result;
  if (address->ipv6) {
    auto& in = reinterpret_cast<sockaddr_in6&>(result.storage);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(Iperf3::port);
    std::memcpy(&in.sin6_addr, address->bytes.data(), sizeof in.sin6_addr);
    result.size = sizeof in;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(result.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(Iperf3::port);
    std::memcpy(&in.sin_addr, address->bytes.data(), sizeof in.sin_addr);
    result.size = sizeof in;
  }
  return result;
}

using Attach = int (*)(int, const sockaddr*, socklen_t);

Result<Fd> open_socket(const Host& host, SocketAddress address, Attach attach, const char* action) {
  auto scope = NetnsScope::enter(host.netns());
  if (!scope) return tl::unexpected(scope.error());
  Fd socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || attach(socket.get(), address.get(), address.size) != 0)
    return fail_errno(
        fmt::format("host {}: {} a UDP socket, port {}", host.name(), action, Iperf3::port));
  return socket;
}

// Refusals of datagrams that were sent before are news of the past, not of this socket.
bool nothing_yet() { return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED; }

}  // namespace

Result<RoundTrip> RoundTrip::open(const Host& client, const Host& server,
                                  const std::string& address, int length) {
  const auto target = socket_address(address);
  if (!target) return tl::unexpected(target.error());
  RoundTrip probe;
  auto server_socket = open_socket(server, *target, ::bind, "bind");
  if (!server_socket) return tl::unexpected(server_socket.error());
  auto client_socket = open_socket(client, *target, ::connect, "connect");
  if (!client_socket) return tl::unexpected(client_socket.error());
  probe.server_ = std::move(*server_socket);
  probe.client_ = std::move(*client_socket);
  probe.datagram_.resize(static_cast<std::size_t>(length));
  const auto answered = wait_until("an answer to a first datagram", [&] { return probe.once(); });
  if (!answered) return tl::unexpected(answered.error());
  return probe;
}

Result<bool> RoundTrip::once() {
  const auto number = ++number_;
  std::memcpy(datagram_.data(), &number, sizeof number);
  const auto sent = ::send(client_.get(), datagram_.data(), datagram_.size(), 0);
  if (sent < 0 && !nothing_yet()) return fail_errno("send a datagram");
  const auto limit = Clock::now() + lost_after;
  std::vector<char>& buffer = datagram_;
  bool returned = false;
  for (;;) {
    SocketAddress from;
    if (!returned) {
      const auto got =
          ::recvfrom(server_.get(), buffer.data(), buffer.size(), 0, from.get(), &from.size);
      if (got > 0) {
        if (::sendto(server_.get(), buffer.data(), static_cast<std::size_t>(got), 0, from.get(),
                     from.size) < 0)
          return fail_errno("answer a datagram");
        returned = true;
      } else if (got < 0 && !nothing_yet()) {
        return fail_errno("receive a datagram");
      }
    }
    const auto got = ::recv(client_.get(), buffer.data(), buffer.size(), 0);
    std::uint64_t answer = 0;
    if (got >= static_cast<ssize_t>(sizeof answer)) {
      std::memcpy(&answer, buffer.data(), sizeof answer);
      if (answer == number) return true;
    } else if (got < 0 && !nothing_yet()) {
      return fail_errno("receive an answer");
    }
    if (Clock::now() > limit) return false;
  }
}

Result<> RoundTrip::run(std::chrono::nanoseconds duration) {
  const auto end = Clock::now() + duration;
  for (auto begin = Clock::now(); begin < end;) {
    const auto answered = once();
    if (!answered) return tl::unexpected(answered.error());
    const auto now = Clock::now();
    if (*answered)
      times_ns_.push_back(static_cast<std::uint32_t>((now - begin).count()));
    else
      ++lost_;
    begin = now;
  }
  return {};
}

RoundTripResult RoundTrip::result() const {
  RoundTripResult result;
  result.answered = static_cast<std::int64_t>(times_ns_.size());
  result.lost = lost_;
  if (times_ns_.empty()) return result;
  auto sorted = times_ns_;
  std::sort(sorted.begin(), sorted.end());
  const auto us_at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1));
    return sorted[index] / 1000.0;
  };
  result.median_us = us_at(0.5);
  result.p99_us = us_at(0.99);
  return result;
}

std::string RoundTrip::to_json() const {
  const auto r = result();
  return fmt::format(R"({{"length":{},"answered":{},"lost":{},"median_us":{},"p99_us":{}}})",
                     datagram_.size(), r.answered, r.lost, r.median_us, r.p99_us);
}

}  // namespace warren::bench
