#include "carrier/icmp_shortcut.h"

#include <net/ethernet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "linux/netlink.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace warren::carrier {
namespace {

using namespace std::chrono_literals;

constexpr auto period = 100ms;
// A conversation with fewer messages in a period is not worth a sample.
constexpr unsigned busy = 16;

// The part of `packet` behind headers that can be repeated for other messages to `to`.
std::optional<std::span<const std::byte>> repeatable4(std::span<const std::byte> packet,
                                                      const IpAddress& to) noexcept {
  const auto ip = wire::Ipv4View::parse(packet);
  if (!ip || ip->header_length() != wire::Ipv4View::min_header_length ||
      ip->total_length() != packet.size() || ip->protocol() != wire::ip_protocol::icmp)
    return std::nullopt;
  // Whole packets need no numbers (RFC 6864); those that others may fragment do.
  if (ip->fragment_word() != wire::Ipv4View::dont_fragment) return std::nullopt;
  if (std::memcmp(ip->destination().data(), to.bytes.data(), 4) != 0) return std::nullopt;
  return ip->payload();
}

std::optional<std::span<const std::byte>> repeatable6(std::span<const std::byte> packet,
                                                      const IpAddress& to) noexcept {
  const auto ip = wire::Ipv6View::parse(packet);
  if (!ip || ip->payload().size() + wire::Ipv6View::min_header_length != packet.size() ||
      ip->next_header() != wire::ip_protocol::icmpv6 ||
      std::memcmp(ip->destination().data(), to.bytes.data(), 16) != 0)
    return std::nullopt;
  return ip->payload();
}

}  // namespace

IcmpShortcut::Way IcmpShortcut::choose(std::size_t payload, Time now,
                                       std::uint32_t epoch) noexcept {
  if (now >= until_ || epoch != epoch_) {
    until_ = now + period;
    epoch_ = epoch;
    through_socket_ = 0;
    fitting_ = 0;
    too_long_ = std::numeric_limits<std::size_t>::max();
  }
  if (payload < fitting_) return Way::frame;
  ++through_socket_;
  return through_socket_ < busy || payload >= too_long_ ? Way::socket : Way::sample;
}

bool IcmpShortcut::learn(const SentFrame& frame, const EchoFields& fields, Tag user,
                         const IpAddress& to, std::size_t payload) noexcept {
  const auto ip_header =
      to.ipv6 ? wire::Ipv6View::min_header_length : wire::Ipv4View::min_header_length;
  const auto packet_length = ip_header + echo_header_length + payload;
  // What a packet socket sends to the loopback device is taken for forged.
  if (frame.device == netlink::loopback_index || frame.bytes.size() < packet_length ||
      frame.bytes.size() - packet_length > max_link_header)
    return false;
  const auto link_header = frame.bytes.size() - packet_length;
  const auto packet = frame.bytes.subspan(link_header);
  const auto message = to.ipv6 ? repeatable6(packet, to) : repeatable4(packet, to);
  if (!message) return false;
  EchoPath path{.ipv6 = to.ipv6};
  if (to.ipv6) path.addresses = wire::sum_bytes(packet.subspan(8, 32));
  const auto seen = read_echo_header(*message, path);
  if (!seen || !seen->belongs_to(user) || seen->direction != fields.direction ||
      seen->identifier != fields.identifier)
    return false;

  path_ = path;
  ip_at_ = link_header;
  headers_length_ = link_header + ip_header;
  std::ranges::copy(frame.bytes.first(headers_length_), headers_.begin());
  device_.sll_family = AF_PACKET;
  device_.sll_protocol = htons(to.ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
  device_.sll_ifindex = frame.device;
  fitting_ = payload + 1;
  return true;
}

std::size_t IcmpShortcut::write_headers(std::byte* out, const EchoFields& fields, Tag user,
                                        std::span<const std::byte> payload) const noexcept {
  std::memcpy(out, headers_.data(), headers_length_);
  const auto length = static_cast<std::uint16_t>(echo_header_length + payload.size());
  if (path_.ipv6) {
    wire::Ipv6Editor(out + ip_at_).set_payload_length(length);
  } else {
    const wire::Ipv4Editor ip(out + ip_at_);
    const auto before = ip.total_length();
    ip.set_total_length(static_cast<std::uint16_t>(ip.header_length() + length));
    ip.set_checksum(wire::update_checksum(ip.checksum(), wire::network(before),
                                          wire::network(ip.total_length())));
  }
  write_echo_header(out + headers_length_, fields, user, path_, payload.size(),
                    wire::sum_bytes(payload));
  return headers_length_ + echo_header_length;
}

void IcmpShortcut::write(SendBatch& out, int packet_socket, const EchoFields& fields, Tag user,
                         std::span<const std::byte> payload, std::size_t room) const noexcept {
  auto* bytes = const_cast<std::byte*>(payload.data());  // sendmsg() only reads
  const SendBatch::Datagram frame{
      .fd = packet_socket, .device = &device_, .headers = headers_length_};
  const auto length = headers_length_ + echo_header_length;
  if (length <= room) {  // one piece costs the kernel less than two
    write_headers(bytes - length, fields, user, payload);
    const iovec piece{bytes - length, length + payload.size()};
    out.add(frame, {&piece, 1});
    return;
  }
  auto* headers = out.scratch();
  write_headers(headers, fields, user, payload);
  const std::array<iovec, 2> pieces{{{headers, length}, {bytes, payload.size()}}};
  out.add(frame, pieces);
}

}  // namespace warren::carrier
