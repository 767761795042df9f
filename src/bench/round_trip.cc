#include "bench/round_trip.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bench/iperf3.h"
#include "bench/socket_address.h"
#include "bench/wait.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto lost_after = std::chrono::milliseconds(100);

using Attach = int (*)(int, const sockaddr*, socklen_t);

Result<Fd> open_socket(const Host& host, SocketAddress address, Attach attach, const char* action) {
  auto scope = NetnsScope::enter(host.netns());
  if (!scope) return tl::unexpected(scope.error());
  Fd socket(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
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
  // iperf3's port, which is what a scenario lets through to the server.
  const auto target = SocketAddress::parse(address, Iperf3::port);
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

RoundTripResult summarize_round_trips(std::vector<std::uint32_t> times_ns, std::int64_t lost) {
  RoundTripResult result;
  result.answered = static_cast<std::int64_t>(times_ns.size());
  result.lost = lost;
  if (times_ns.empty()) return result;
  std::sort(times_ns.begin(), times_ns.end());
  const auto us_at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(times_ns.size() - 1));
    return times_ns[index] / 1000.0;
  };
  result.median_us = us_at(0.5);
  result.p99_us = us_at(0.99);
  return result;
}

std::string to_json(const RoundTripResult& result, std::size_t length) {
  return fmt::format(R"({{"length":{},"answered":{},"lost":{},"median_us":{},"p99_us":{}}})",
                     length, result.answered, result.lost, result.median_us, result.p99_us);
}

RoundTripResult RoundTrip::result() const { return summarize_round_trips(times_ns_, lost_); }

std::string RoundTrip::to_json() const { return bench::to_json(result(), datagram_.size()); }

}  // namespace warren::bench
