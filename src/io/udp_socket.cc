#include "io/udp_socket.h"

#include <fmt/format.h>
#include <netinet/udp.h>
#include <time.h>

#include <algorithm>

#include "io/socket_buffers.h"

namespace warren {
namespace {

bool is_unspecified(const IpAddress& ip) {
  return std::all_of(ip.bytes.begin(), ip.bytes.end(), [](auto byte) { return byte == 0; });
}

// Both are wishes: with smaller buffers and single datagrams it works as well.
void tune(int fd) noexcept {
  const int on = 1;
  ::setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
  enlarge_buffers(fd);
}

}  // namespace

Result<Fd> open_udp_listener(const SocketAddress& local) {
  Fd fd(::socket(local.ip.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("open a UDP socket");
  const int on = 1;
  if (local.ip.ipv6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (is_unspecified(local.ip)) {
    const int failed = local.ip.ipv6
                           ? ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)
                           : ::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (failed != 0) return fail_errno("ask for local addresses of datagrams");
  }
  tune(fd.get());
  sockaddr_storage name{};
  const auto length = local.store(name);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0) {
    const int code = errno;
    const char* hint = code == EADDRINUSE ? " (another program has the port: `ss -lup` shows which)"
                       : code == EADDRNOTAVAIL ? " (no interface has this address)"
                                               : "";
    return fail(fmt::format("listen on UDP {}: {}{}", local.to_string(), std::strerror(code), hint),
                code);
  }
  return fd;
}

Fd open_udp_connection(const SocketAddress& remote) noexcept {
  Fd fd(::socket(remote.ip.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fd;
  tune(fd.get());
  sockaddr_storage name{};
  const auto length = remote.store(name);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0) {
    const int code = errno;
    fd.close();
    errno = code;
  }
  return fd;
}

bool UdpWriter::continues(const void* conversation, std::size_t size) const noexcept {
  if (count_ == 0 || conversation != conversation_ || count_ == pieces_.size()) return false;
  const auto segment = pieces_[0].iov_len;
  return size != 0 && size <= segment && pieces_[count_ - 1].iov_len == segment &&
         bytes_ + size <= max_size;
}

void UdpWriter::add(const void* conversation, const SendBatch::Datagram& datagram,
                    std::span<const std::byte> payload) noexcept {
  if (!continues(conversation, payload.size())) {
    close_group();
    conversation_ = conversation;
    datagram_ = datagram;
  }
  // sendmsg() only reads.
  pieces_[count_++] = {const_cast<std::byte*>(payload.data()), payload.size()};
  bytes_ += payload.size();
}

void UdpWriter::add_segments(const SendBatch::Datagram& datagram,
                             std::span<const std::byte> payload) noexcept {
  close_group();
  if (!batch_.fits(1)) outcome_ += batch_.flush();
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  batch_.add(datagram, {&piece, 1});
}

void UdpWriter::close_group() noexcept {
  if (count_ == 0) return;
  if (!batch_.fits(count_)) outcome_ += batch_.flush();
  datagram_.segment_size = count_ > 1 ? pieces_[0].iov_len : 0;
  batch_.add(datagram_, std::span(pieces_).first(count_));
  count_ = 0;
  bytes_ = 0;
}

SendBatch::Outcome UdpWriter::flush() noexcept {
  close_group();
  outcome_ += batch_.flush();
  return std::exchange(outcome_, {});
}

// Measured with iperf3 at both ends on two busy cores: without the pause three quarters of the
// datagrams were lost in the last socket; with sched_yield() few were, but only half as many arrived
// as with this. With the timer's slack a full batch takes some 0.07 ms longer.
void let_receivers_run() noexcept {
  constexpr timespec moment{.tv_sec = 0, .tv_nsec = 20'000};
  ::nanosleep(&moment, nullptr);
}

}  // namespace warren
