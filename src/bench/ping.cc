#include "bench/ping.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bench/socket_address.h"
#include "bench/timestamp.h"
#include "bench/wait.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

constexpr std::size_t header_length = 8;

// Sockets for echo requests alone, whose identifier and checksum are the kernel's business, are for
// groups that the namespace names.
Result<> allow_ping_sockets(const Host& client) {
  constexpr auto setting = "/proc/sys/net/ipv4/ping_group_range";
  const Fd file(::open(setting, O_WRONLY | O_CLOEXEC));
  const auto range = fmt::format("{0} {0}", ::getegid());
  if (!file || ::write(file.get(), range.data(), range.size()) < 0)
    return fail_errno(fmt::format("host {}: write {}", client.name(), setting));
  return {};
}

}  // namespace

Result<Ping> Ping::open(const Host& client, const std::string& address, int length,
                        const PingPace& pace) {
  auto target = SocketAddress::parse(address, 0);
  if (!target) return tl::unexpected(target.error());
  auto scope = NetnsScope::enter(client.netns());
  if (!scope) return tl::unexpected(scope.error());
  if (auto allowed = allow_ping_sockets(client); !allowed) return tl::unexpected(allowed.error());
  Ping ping;
  ping.ipv6_ = target->family() == AF_INET6;
  ping.pace_ = pace;
  ping.request_.resize(header_length + static_cast<std::size_t>(length));
  ping.request_[0] = static_cast<char>(ping.ipv6_ ? ICMP6_ECHO_REQUEST : ICMP_ECHO);
  const int protocol = ping.ipv6_ ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP};
  ping.socket_ =
      Fd(::socket(target->family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  constexpr int on = 1;
  constexpr int room = 4 << 20;
  if (!ping.socket_ ||
      ::setsockopt(ping.socket_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      ::setsockopt(ping.socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
      ::connect(ping.socket_.get(), target->get(), target->size) != 0)
    return fail_errno(fmt::format("host {}: open a ping socket to {}", client.name(), address));
  const auto answered = wait_until("an answer to a first echo request", [&]() -> Result<bool> {
    if (auto sent = ping.send(); !sent) return tl::unexpected(sent.error());
    if (auto received = ping.receive(); !received) return tl::unexpected(received.error());
    return !ping.times_ns_.empty();
  });
  if (!answered) return tl::unexpected(answered.error());
  if (auto rest = ping.finish(); !rest) return tl::unexpected(rest.error());
  ping.times_ns_.clear();
  ping.sent_ = 0;
  std::fill(ping.sent_at_.begin(), ping.sent_at_.end(), 0);
  return ping;
}

Result<> Ping::send() {
  const auto sequence = ++sequence_;
  const auto in_order = htons(sequence);
  std::memcpy(request_.data() + 6, &in_order, sizeof in_order);
  sent_at_[sequence] = now(CLOCK_REALTIME);
  ++sent_;
  // What the way has no room for is lost, and so are refusals.
  if (::send(socket_.get(), request_.data(), request_.size(), 0) < 0 && errno != ENOBUFS &&
      errno != EAGAIN && errno != EINTR)
    return fail_errno("send an echo request");
  return {};
}

Result<> Ping::receive() {
  for (;;) {
    std::array<char, header_length> header{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> control{};
    iovec data{header.data(), header.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = ::recvmsg(socket_.get(), &message, MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return {};
    if (got < 0) return fail_errno("receive the answer to an echo request");
    if (got < static_cast<ssize_t>(header_length)) continue;
    std::uint16_t in_order = 0;
    std::memcpy(&in_order, header.data() + 6, sizeof in_order);
    auto& sent_at = sent_at_[ntohs(in_order)];
    const auto arrived_at = arrival(message);
    if (sent_at == 0 || arrived_at < sent_at) continue;
    times_ns_.push_back(
        static_cast<std::uint32_t>(std::min<std::int64_t>(arrived_at - sent_at, UINT32_MAX)));
    sent_at = 0;
  }
}

Result<> Ping::run(std::chrono::nanoseconds duration) {
  const auto end = now(CLOCK_MONOTONIC) + duration.count();
  for (auto next = now(CLOCK_MONOTONIC); next < end;) {
    if (auto sent = send(); !sent) return sent;
    if (auto received = receive(); !received) return received;
    // Requests that are late are left out, not sent in a bunch.
    next = std::max(next + pace_.interval.count(), now(CLOCK_MONOTONIC));
    sleep_until(next);
  }
  return receive();
}

Result<> Ping::finish() {
  return receive_rest(
      socket_.get(), [this] { return receive(); },
      [this] { return static_cast<std::int64_t>(times_ns_.size()) >= sent_; });
}

RoundTripResult Ping::result() const {
  return summarize_round_trips(times_ns_, sent_ - static_cast<std::int64_t>(times_ns_.size()));
}

std::string Ping::to_json() const {
  return bench::to_json(result(), request_.size() - header_length);
}

}  // namespace warren::bench
