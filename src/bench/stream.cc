#include "bench/stream.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "bench/round_trip.h"
#include "bench/socket_address.h"
#include "bench/timestamp.h"
#include "bench/wait.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

struct Header {
  std::uint64_t number;  // 0: the client's first, which is not counted
  std::int64_t sent_at;
};
static_assert(sizeof(Header) == Stream::least_length);

Result<Fd> open_socket(const Host& host, sa_family_t family) {
  auto scope = NetnsScope::enter(host.netns());
  if (!scope) return tl::unexpected(scope.error());
  constexpr int on = 1;
  constexpr int room = 8 << 20;
  Fd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
    return fail_errno(fmt::format("host {}: open a UDP socket", host.name()));
  return socket;
}

// The server's socket learns who the client is, as a NAT on the way shows it.
Result<> meet(int client, int server) {
  return wait_until("a first datagram from the client", [&]() -> Result<bool> {
    const Header first{0, 0};
    (void)::send(client, &first, sizeof first, 0);
    SocketAddress from;
    Header got{};
    if (::recvfrom(server, &got, sizeof got, 0, from.get(), &from.size) < 0) return false;
    if (::connect(server, from.get(), from.size) != 0) return fail_errno("answer the client");
    return true;
  });
}

}  // namespace

Result<Stream> Stream::open(const Host& client, const Host& server, const std::string& address,
                            int length, std::uint64_t bits_per_s, Direction direction) {
  const auto target = SocketAddress::parse(address, Iperf3::port);
  if (!target) return tl::unexpected(target.error());
  auto at_server = open_socket(server, target->family());
  if (!at_server) return tl::unexpected(at_server.error());
  auto at_client = open_socket(client, target->family());
  if (!at_client) return tl::unexpected(at_client.error());
  if (::bind(at_server->get(), target->get(), target->size) != 0)
    return fail_errno(fmt::format("host {}: bind to {}", server.name(), address));
  if (::connect(at_client->get(), target->get(), target->size) != 0)
    return fail_errno(fmt::format("host {}: connect to {}", client.name(), address));
  if (auto met = meet(at_client->get(), at_server->get()); !met) return tl::unexpected(met.error());
  Stream stream;
  const bool forward = direction == Direction::forward;
  stream.sender_ = std::move(forward ? *at_client : *at_server);
  stream.receiver_ = std::move(forward ? *at_server : *at_client);
  stream.datagram_.resize(static_cast<std::size_t>(length));
  stream.bits_per_s_ = bits_per_s;
  return stream;
}

Result<> Stream::send() {
  const Header header{static_cast<std::uint64_t>(++sent_), now(CLOCK_REALTIME)};
  std::memcpy(datagram_.data(), &header, sizeof header);
  // A refusal is news of an earlier datagram, or of the first that the client sent; and so is the path's
  // MTU, after which the kernel fragments.
  if (::send(sender_.get(), datagram_.data(), datagram_.size(), 0) < 0 && errno != ENOBUFS &&
      errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED && errno != EMSGSIZE)
    return fail_errno("send a datagram");
  return {};
}

Result<> Stream::receive() {
  for (;;) {
    Header header{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> control{};
    iovec data{&header, sizeof header};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = ::recvmsg(receiver_.get(), &message, 0);
    if (got < 0 && (errno == EINTR || errno == ECONNREFUSED || errno == EMSGSIZE)) continue;
    if (got < 0 && errno == EAGAIN) return {};
    if (got < 0) return fail_errno("receive a datagram");
    if (got < static_cast<ssize_t>(sizeof header) || header.number == 0) continue;
    const auto delay = std::clamp<std::int64_t>(arrival(message) - header.sent_at, 0, UINT32_MAX);
    if (!delays_ns_.empty()) {
      constexpr double gain = 1.0 / 16;
      const auto change = std::abs(delay - std::int64_t{delays_ns_.back()});
      jitter_ns_ += (static_cast<double>(change) - jitter_ns_) * gain;
    }
    delays_ns_.push_back(static_cast<std::uint32_t>(delay));
  }
}

Result<> Stream::run(std::chrono::nanoseconds duration) {
  constexpr Nanoseconds tick = 1'000'000;
  // Who was kept from sending for long does not make up for it in one bunch.
  constexpr Nanoseconds most_late = 20 * tick;
  const double per_ns =
      static_cast<double>(bits_per_s_) / 8e9 / static_cast<double>(datagram_.size());
  const auto begin = now(CLOCK_MONOTONIC);
  const auto end = begin + duration.count();
  double due = 0;
  for (auto last = begin, time = begin; time < end; time = now(CLOCK_MONOTONIC)) {
    due += static_cast<double>(std::min(time - last, most_late)) * per_ns;
    last = time;
    while (due >= 1) {
      if (auto sent = send(); !sent) return sent;
      due -= 1;
    }
    if (auto received = receive(); !received) return received;
    sleep_until(std::max(time + tick, now(CLOCK_MONOTONIC)));
  }
  spent_ += now(CLOCK_MONOTONIC) - begin;
  return receive();
}

Result<> Stream::finish() {
  return receive_rest(
      receiver_.get(), [this] { return receive(); },
      [this] { return static_cast<std::int64_t>(delays_ns_.size()) >= sent_; });
}

StreamResult Stream::result() const {
  StreamResult result;
  result.sent = sent_;
  result.received = static_cast<std::int64_t>(delays_ns_.size());
  if (spent_ == 0 || sent_ == 0) return result;
  const auto received = static_cast<double>(result.received);
  result.packets_per_s = received / (static_cast<double>(spent_) / 1e9);
  result.gbps = result.packets_per_s * 8 * static_cast<double>(datagram_.size()) / 1e9;
  result.lost_percent = 100 * (1 - received / static_cast<double>(sent_));
  result.jitter_ms = jitter_ns_ / 1e6;
  const auto delays = summarize_round_trips(delays_ns_, 0);
  result.median_us = delays.median_us;
  result.p99_us = delays.p99_us;
  return result;
}

std::string Stream::to_json() const {
  const auto r = result();
  return fmt::format(
      R"({{"length":{},"sent":{},"received":{},"lost_percent":{},"jitter_ms":{},"median_us":{},"p99_us":{}}})",
      datagram_.size(), r.sent, r.received, r.lost_percent, r.jitter_ms, r.median_us, r.p99_us);
}

}  // namespace warren::bench
