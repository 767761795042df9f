#include "carrier/icmp_socket.h"

#include <fmt/format.h>
#include <linux/icmp.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include "carrier/echo_diverter.h"
#include "carrier/icmp_filter.h"
#include "io/sent_frame.h"
#include "io/socket_buffers.h"
#include "io/socket_filter.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace warren::carrier {
namespace {

// How long a full device may hold the relay up: like any sender of UDP it waits for room, which
// keeps a burst from being lost, but not for a device that is stuck.
constexpr timeval send_timeout{.tv_sec = 0, .tv_usec = 50'000};

constexpr std::uint8_t reply_type(bool ipv6) {
  return ipv6 ? wire::icmpv6_type::echo_reply : wire::icmp_type::echo_reply;
}
// A diverted request has another type, and its checksum follows that.
Tag diverted_tag(Tag tag, bool ipv6) {
  if (tag.profile == Profile::tutu) return tag;
  const auto moved = wire::sum_of(tag.value) + type_word(request_type(ipv6)) +
                     static_cast<std::uint16_t>(~type_word(diverted_type(ipv6)));
  tag.value = wire::network(wire::fold(moved));
  if (tag.value == 0xffff) tag.value = 0;  // as the filter's remainder says it
  return tag;
}

// What a raw socket sees of what it receives.
std::uint8_t arriving_type(IcmpDirection receives, bool ipv6) {
  return receives == IcmpDirection::request ? diverted_type(ipv6) : reply_type(ipv6);
}
std::vector<Tag> arriving_tags(IcmpDirection receives, bool ipv6, std::span<const Tag> tags) {
  std::vector<Tag> arriving(tags.begin(), tags.end());
  if (receives == IcmpDirection::request)
    for (auto& tag : arriving) tag = diverted_tag(tag, ipv6);
  return arriving;
}

// Sorts out by type before a copy is made for this socket.
Result<> pass_one_type(int fd, bool ipv6, std::uint8_t type) {
  int failed = 0;
  if (ipv6) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(type, &filter);
    failed = ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  } else {
    // Types above 31 always pass.
    icmp_filter filter{.data = type < 32 ? ~(1U << type) : ~0U};
    failed = ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  }
  if (failed != 0) return fail_errno("filter ICMP types");
  return {};
}

Result<> prepare_sending(int fd) {
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof send_timeout) != 0)
    return fail_errno("limit how long sending ICMP waits");
  enlarge_buffers(fd);
  return {};
}

Result<> pass(int fd, const SocketFilter& filter) {
  if (!attach(fd, filter)) return fail_errno("attach a filter to a raw ICMP socket");
  return {};
}

Result<> prepare(int fd, bool ipv6, std::uint8_t type, std::span<const Tag> tags) {
  if (auto attached = pass(fd, make_icmp_filter(ipv6, type, tags)); !attached) return attached;
  if (auto ready = prepare_sending(fd); !ready) return ready;
  if (auto enabled = enable_sent_frames(fd, ipv6); !enabled) return enabled;
  return pass_one_type(fd, ipv6, type);
}

}  // namespace

IcmpSocket::IcmpSocket(Fd fd, bool ipv6, IcmpDirection receives, std::span<const Tag> tags)
    : fd_(std::move(fd)), ipv6_(ipv6), receives_(receives), tags_(tags.begin(), tags.end()) {
  for (std::size_t user = 0; user < tags_.size(); ++user) users_.emplace_back(tags_[user], user);
  std::ranges::sort(users_);
}

Result<IcmpSocket> IcmpSocket::open(bool ipv6, IcmpDirection receives, std::span<const Tag> tags) {
  // What arrives before the filter is attached is checked like the rest.
  Fd fd(ipv6 ? ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6)
             : ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!fd)
    return fail_errno(fmt::format("open a raw {} socket{}", ipv6 ? "ICMPv6" : "ICMP",
                                  errno == EPERM ? " (it needs root, or CAP_NET_RAW)" : ""));
  auto ready = prepare(fd.get(), ipv6, arriving_type(receives, ipv6),
                       arriving_tags(receives, ipv6, tags));
  if (!ready) return tl::unexpected(ready.error());
  return IcmpSocket(std::move(fd), ipv6, receives, tags);
}

Result<PacketRing> IcmpSocket::open_ring(IcmpDirection receives, std::span<const Tag> tags) {
  const auto type = receives == IcmpDirection::request ? request_type(false) : reply_type(false);
  return PacketRing::open({.protocol = ETHERTYPE_IP}, make_ring_filter(type, tags));
}

Result<> IcmpSocket::stand_beside_ring(bool ring) {
  const auto type = arriving_type(receives_, ipv6_);
  const auto tags = arriving_tags(receives_, ipv6_, tags_);
  return pass(fd(), ring ? make_filter_beside_ring(type, tags) : make_icmp_filter(ipv6_, type, tags));
}

Result<Fd> open_packet_socket() {
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // of no protocol: it receives nothing
  if (!fd) return fail_errno("open a packet socket");
  if (auto ready = prepare_sending(fd.get()); !ready) return tl::unexpected(ready.error());
  return fd;
}

std::optional<std::size_t> IcmpSocket::user_of(const EchoFields& fields) const noexcept {
  for (const Tag tag : {Tag{fields.tag, Profile::warren}, Tag{fields.code, Profile::tutu}}) {
    const auto found = std::ranges::lower_bound(users_, std::pair(tag, std::size_t{0}));
    if (found != users_.end() && found->first == tag && fields.belongs_to(tag))
      return found->second;
  }
  return std::nullopt;
}

std::optional<EchoMessage> IcmpSocket::read(ReceiveBatch& batch, std::size_t i) const noexcept {
  const auto bytes = batch.data(i);
  const auto source = batch.sender(i);
  if (!ipv6_) {
    const auto ip = wire::Ipv4Editor::parse(bytes);
    if (!ip) return std::nullopt;
    return read(ip->payload(), {}, source, ipv4(ip->destination()));
  }
  const auto local = batch.local(i);
  if (!local) return std::nullopt;
  const EchoPath path{.ipv6 = true,
                      .addresses = wire::sum_bytes(std::as_bytes(std::span(source.ip.bytes))) +
                                   wire::sum_bytes(std::as_bytes(std::span(local->bytes)))};
  return read(bytes, path, source, *local);
}

// Nobody has looked at it before.
std::optional<EchoMessage> IcmpSocket::read_packet(std::span<std::byte> packet) const noexcept {
  const auto ip = wire::Ipv4Editor::parse(packet);
  if (!ip || !wire::is_valid(wire::sum_bytes(ip->header()))) return std::nullopt;
  auto message = read(ip->payload(), {}, {.ip = ipv4(ip->source())}, ipv4(ip->destination()));
  if (message) message->not_routed = true;
  return message;
}

std::optional<EchoMessage> IcmpSocket::read(std::span<std::byte> message, const EchoPath& path,
                                            const SocketAddress& source,
                                            const IpAddress& local) const noexcept {
  const auto icmp = wire::IcmpEditor::parse(message);
  if (!icmp) return std::nullopt;
  if (receives_ == IcmpDirection::request &&
      icmp->type() == diverted_type(ipv6_)) {  // what the diverter did is undone
    icmp->set_type(request_type(ipv6_));
    icmp->set_checksum(wire::update_checksum(icmp->checksum(), type_word(diverted_type(ipv6_)),
                                             type_word(request_type(ipv6_))));
  }
  // The kernel has verified what it hands to a raw ICMPv6 socket.
  if (!ipv6_ && !verify_echo(message, path)) return std::nullopt;
  const auto fields = read_echo_header(message, path);
  if (!fields || fields->direction != receives_) return std::nullopt;
  const auto user = user_of(*fields);
  if (!user) return std::nullopt;
  return EchoMessage{.source = source,
                     .local = local,
                     .fields = *fields,
                     .user = *user,
                     .payload = icmp->payload()};
}

namespace {

void put_message(SendBatch& out, SendBatch::Datagram datagram, const EchoFields& fields, Tag tag,
                 bool ipv6, std::span<const std::byte> payload) noexcept {
  auto* header = out.scratch();
  write_echo_header(header, fields, tag, {.ipv6 = ipv6}, payload.size(), wire::sum_bytes(payload));
  auto* bytes = const_cast<std::byte*>(payload.data());  // sendmsg() only reads
  const std::array<iovec, 2> pieces{{{header, echo_header_length}, {bytes, payload.size()}}};
  out.add(datagram, pieces);
}

}  // namespace

void IcmpSocket::write(SendBatch& out, const EchoTarget& target, std::span<const std::byte> payload,
                       bool copy) const noexcept {
  put_message(out, {.fd = fd_.get(), .to = &target.to, .from = target.from, .copy = copy},
              target.fields, tags_[target.user], ipv6_, payload);
}

// A message with an ordinary checksum, and everything in its header given, is one of `tutu`.
void IcmpSocket::answer_ping(SendBatch& out, const EchoMessage& ping) const noexcept {
  auto fields = ping.fields;
  fields.direction = IcmpDirection::reply;
  put_message(out, {.fd = fd_.get(), .to = &ping.source, .from = &ping.local}, fields,
              {.value = fields.code, .profile = Profile::tutu}, ipv6_, ping.payload);
}

}  // namespace warren::carrier
