#include "io/message_batch.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>

namespace warren {

ReceiveBatch::ReceiveBatch() : buffer_(new std::byte[capacity * stride]) {}

std::size_t ReceiveBatch::receive(int fd, std::size_t limit) noexcept {
  limit = std::min(limit, capacity);
  for (std::size_t i = 0; i < limit; ++i) {
    pieces_[i] = {buffer_.get() + i * stride, 65536};
    messages_[i].msg_hdr = {
        &names_[i], sizeof names_[i], &pieces_[i], 1, &controls_[i].bytes, sizeof controls_[i], 0};
  }
  const int count =
      ::recvmmsg(fd, messages_.data(), static_cast<unsigned>(limit), MSG_DONTWAIT, nullptr);
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

template <class T>
std::optional<T> ReceiveBatch::control(std::size_t i, int level, int type) noexcept {
  auto& header = messages_[i].msg_hdr;
  for (auto* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != level || c->cmsg_type != type || c->cmsg_len < CMSG_LEN(sizeof(T)))
      continue;
    T value;
    std::memcpy(&value, CMSG_DATA(c), sizeof value);
    return value;
  }
  return std::nullopt;
}

std::optional<IpAddress> ReceiveBatch::local(std::size_t i) noexcept {
  IpAddress address;
  if (const auto info = control<in_pktinfo>(i, IPPROTO_IP, IP_PKTINFO)) {
    std::memcpy(address.bytes.data(), &info->ipi_addr, 4);
    return address;
  }
  if (const auto info = control<in6_pktinfo>(i, IPPROTO_IPV6, IPV6_PKTINFO)) {
    address.ipv6 = true;
    std::memcpy(address.bytes.data(), &info->ipi6_addr, 16);
    return address;
  }
  return std::nullopt;
}

std::size_t ReceiveBatch::segment_size(std::size_t i) noexcept {
  return static_cast<std::size_t>(control<int>(i, SOL_UDP, UDP_GRO).value_or(0));
}

std::uint8_t ReceiveBatch::traffic_class(std::size_t i) noexcept {
  if (const auto tos = control<std::uint8_t>(i, IPPROTO_IP, IP_TOS)) return *tos;
  return static_cast<std::uint8_t>(control<int>(i, IPPROTO_IPV6, IPV6_TCLASS).value_or(0));
}

namespace {

template <class T>
void put_control(msghdr& header, int level, int type, const T& value) noexcept {
  auto* at = reinterpret_cast<cmsghdr*>(static_cast<std::byte*>(header.msg_control) +
                                        header.msg_controllen);
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(at), &value, sizeof value);
  header.msg_controllen += CMSG_SPACE(sizeof value);
}

void put_source(msghdr& header, const IpAddress& from) noexcept {
  if (from.ipv6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, from.bytes.data(), 16);
    put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from.bytes.data(), 4);
    put_control(header, IPPROTO_IP, IP_PKTINFO, info);
  }
}

}  // namespace

void SendBatch::add(const Datagram& datagram, std::span<const iovec> pieces) noexcept {
  auto& header = messages_[size_].msg_hdr;
  header = {};
  if (datagram.to != nullptr) {
    header.msg_name = &names_[size_];
    header.msg_namelen = datagram.to->store(names_[size_]);
  } else if (datagram.device != nullptr) {
    header.msg_name = &names_[size_];
    header.msg_namelen = sizeof *datagram.device;
    std::memcpy(&names_[size_], datagram.device, sizeof *datagram.device);
  }
  header.msg_iov = pieces_.data() + used_pieces_;
  header.msg_iovlen = pieces.size();
  for (const auto& piece : pieces) pieces_[used_pieces_++] = piece;
  header.msg_control = controls_[size_].bytes.data();
  if (datagram.from != nullptr) put_source(header, *datagram.from);
  if (datagram.traffic_class != 0) {
    const bool ipv6 = datagram.to != nullptr && datagram.to->ip.ipv6;
    put_control(header, ipv6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP}, ipv6 ? IPV6_TCLASS : IP_TOS,
                int{datagram.traffic_class});
  }
  if (datagram.copy)
    put_control(header, SOL_SOCKET, SO_TIMESTAMPING, std::uint32_t{SOF_TIMESTAMPING_TX_SCHED});
  if (datagram.segment_size != 0)
    put_control(header, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(datagram.segment_size));
  segment_sizes_[size_] = datagram.segment_size;
  headers_[size_] = datagram.headers;
  fds_[size_++] = datagram.fd;
}

std::uint64_t SendBatch::count(std::size_t i) const noexcept {
  const auto segment = segment_sizes_[i];
  if (segment == 0) return 1;
  const auto& header = messages_[i].msg_hdr;
  std::uint64_t segments = 0;
  for (const auto& piece : std::span(header.msg_iov, header.msg_iovlen))
    segments += (piece.iov_len + segment - 1) / segment;
  return segments;
}

void SendBatch::send_segments(std::size_t i, Outcome& outcome) noexcept {
  auto header = messages_[i].msg_hdr;
  header.msg_iovlen = 1;
  header.msg_controllen -= CMSG_SPACE(sizeof(std::uint16_t));  // UDP_SEGMENT was put last
  for (const auto& piece :
       std::span(messages_[i].msg_hdr.msg_iov, messages_[i].msg_hdr.msg_iovlen)) {
    const std::span bytes(static_cast<std::byte*>(piece.iov_base), piece.iov_len);
    for (std::size_t at = 0; at < bytes.size(); at += segment_sizes_[i]) {
      iovec segment{bytes.data() + at, std::min(segment_sizes_[i], bytes.size() - at)};
      header.msg_iov = &segment;
      const auto sent = ::sendmsg(fds_[i], &header, 0);
      if (sent >= 0) {
        ++outcome.sent;
        outcome.bytes += static_cast<std::uint64_t>(sent);
      } else {
        ++(errno == EMSGSIZE ? outcome.too_big : outcome.failed);
      }
    }
  }
}

// A device may refuse to segment: its MTU is smaller than the segments, or it cannot.
void SendBatch::handle_refusal(std::size_t i, int error, Outcome& outcome) noexcept {
  if (segment_sizes_[i] != 0 && (error == EINVAL || error == EMSGSIZE || error == EIO))
    send_segments(i, outcome);
  else
    (error == EMSGSIZE ? outcome.too_big : outcome.failed) += count(i);
  if (headers_[i] != 0) ++outcome.frames_refused;
}

SendBatch::Outcome SendBatch::flush() noexcept {
  Outcome outcome;
  for (std::size_t at = 0; at < size_;) {
    std::size_t end = at + 1;
    while (end < size_ && fds_[end] == fds_[at]) ++end;
    const int sent =
        ::sendmmsg(fds_[at], messages_.data() + at, static_cast<unsigned>(end - at), 0);
    if (sent < 0) {
      if (errno != EINTR) handle_refusal(at++, errno, outcome);
      continue;
    }
    for (const auto last = at + static_cast<std::size_t>(sent); at < last; ++at) {
      outcome.sent += count(at);
      if (headers_[at] != 0) ++outcome.frames;
      outcome.bytes += messages_[at].msg_len - headers_[at];
    }
  }
  size_ = 0;
  used_pieces_ = 0;
  return outcome;
}

}  // namespace warren
