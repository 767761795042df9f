#include "carrier/icmp_codec.h"

#include "wire/headers.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace warren::carrier {
namespace {

using wire::fold;
using wire::Sum;
using wire::sum_of;

// -x in ones'-complement arithmetic.
constexpr Sum minus(Sum sum) noexcept { return wire::finish(sum); }

// Of the two zeros, a sum of something never folds to 0, and a checksum is written as 0.
constexpr std::uint16_t positive_zero(std::uint16_t word) noexcept {
  return word == 0xffff ? std::uint16_t{0} : word;
}

std::uint8_t echo_type(IcmpDirection direction, bool ipv6) noexcept {
  if (direction == IcmpDirection::request)
    return ipv6 ? wire::icmpv6_type::echo_request : wire::icmp_type::echo_request;
  return ipv6 ? wire::icmpv6_type::echo_reply : wire::icmp_type::echo_reply;
}

// `length` is that of the message, header included.
Sum sum_echo_pseudo_header(EchoPath path, std::size_t length) noexcept {
  if (!path.ipv6) return 0;
  return path.addresses + sum_of(std::uint16_t{wire::ip_protocol::icmpv6}) +
         sum_of(static_cast<std::uint32_t>(length));
}

// A packet whose transport header may be replaced.
struct Located {
  wire::Headers headers;
  std::size_t protocol_at = 0;  // of the byte that names the transport protocol
  Sum addresses = 0;

  [[nodiscard]] std::size_t length() const noexcept { return headers.end - headers.l4; }
  [[nodiscard]] EchoPath path() const noexcept {
    return {headers.ipv6, headers.ipv6 ? addresses : 0};
  }
  [[nodiscard]] Sum udp_pseudo_header() const noexcept {
    return addresses + sum_of(std::uint16_t{wire::ip_protocol::udp}) +
           sum_of(static_cast<std::uint32_t>(length()));
  }
};

// The last extension header in front of the transport header names the protocol; all have their
// "next header" first. The walk repeats the one that parse_headers() has checked. Nothing where a
// routing header names hops that are still to come: the checksum is then for another destination.
std::optional<std::size_t> find_protocol_byte(std::span<const std::byte> packet,
                                              const wire::Headers& headers) noexcept {
  if (!headers.ipv6) return 9;
  std::size_t at = 6;
  std::size_t next = wire::Ipv6View::min_header_length;
  while (next < headers.l4) {
    constexpr std::size_t segments_left_at = 3;
    if (wire::load8(packet.data() + at) == wire::ip_protocol::routing &&
        wire::load8(packet.data() + next + segments_left_at) != 0)
      return std::nullopt;
    at = next;
    next += (std::size_t{wire::load8(packet.data() + next + 1)} + 1) * 8;
  }
  return at;
}

CodecStatus locate(std::span<const std::byte> packet, bool echo, Located& found) noexcept {
  const auto headers = wire::parse_headers(packet, Medium::ip);
  if (!headers) return CodecStatus::malformed;
  const auto protocol = !echo           ? wire::ip_protocol::udp
                        : headers->ipv6 ? wire::ip_protocol::icmpv6
                                        : wire::ip_protocol::icmp;
  if (headers->protocol != protocol) return CodecStatus::other;
  if (headers->fragment) return CodecStatus::fragment;
  if (headers->authenticated || headers->l4_length == 0) return CodecStatus::malformed;
  found.headers = *headers;
  const auto protocol_at = find_protocol_byte(packet, *headers);
  if (!protocol_at) return CodecStatus::malformed;
  found.protocol_at = *protocol_at;
  found.addresses = wire::sum_bytes(headers->ipv6 ? packet.subspan(8, 32) : packet.subspan(12, 8));
  return CodecStatus::done;
}

void replace_protocol(std::byte* packet, const Located& found, std::uint8_t protocol) noexcept {
  if (found.headers.ipv6) {
    wire::store8(packet + found.protocol_at, protocol);
    return;
  }
  const wire::Ipv4Editor ip(packet);
  const auto* word = packet + found.protocol_at - 1;
  const auto before = wire::load_raw<std::uint16_t>(word);
  wire::store8(packet + found.protocol_at, protocol);
  ip.set_checksum(
      wire::update_checksum(ip.checksum(), before, wire::load_raw<std::uint16_t>(word)));
}

// A correct checksum makes the whole message sum to -0, so what is missing to it is the payload.
Sum sum_udp_payload(std::span<const std::byte> packet, const Located& found,
                    bool checksum_known) noexcept {
  const auto udp = packet.subspan(found.headers.l4, found.length());
  if (!checksum_known || wire::UdpView(udp.data()).checksum() == 0)
    return wire::sum_bytes(udp.subspan(wire::UdpView::header_length));
  return minus(found.udp_pseudo_header() +
               wire::sum_bytes(udp.first(wire::UdpView::header_length)));
}

}  // namespace

void write_echo_header(std::byte* header, const EchoFields& fields, Tag user, EchoPath path,
                       std::size_t payload_length, Sum payload_sum) noexcept {
  const bool tutu = user.profile == Profile::tutu;
  wire::store8(header, echo_type(fields.direction, path.ipv6));
  wire::store8(header + 1, tutu ? static_cast<std::uint8_t>(user.value) : std::uint8_t{0});
  wire::store16(header + 4, fields.identifier);
  const Sum rest = sum_echo_pseudo_header(path, echo_header_length + payload_length) + payload_sum +
                   wire::load_raw<std::uint16_t>(header) + sum_of(fields.identifier);
  if (tutu) {
    wire::store16(header + 6, fields.sequence);
    wire::store_raw(header + 2, wire::finish(rest + sum_of(fields.sequence)));
    return;
  }
  const auto checksum = positive_zero(
      fold(sum_of(user.value) + minus(sum_of(fields.identifier)) + minus(path.addresses)));
  wire::store_raw(header + 2, checksum);
  // Not 0, which is what the kernel avoids too where it completes a checksum in this place.
  wire::store_raw(header + 6, wire::finish_udp(rest + checksum));
}

std::optional<EchoFields> read_echo_header(std::span<const std::byte> message,
                                           EchoPath path) noexcept {
  const auto icmp = wire::IcmpView::parse(message);
  if (!icmp) return std::nullopt;
  EchoFields fields;
  if (icmp->type() == echo_type(IcmpDirection::reply, path.ipv6))
    fields.direction = IcmpDirection::reply;
  else if (icmp->type() != echo_type(IcmpDirection::request, path.ipv6))
    return std::nullopt;
  fields.code = icmp->code();
  fields.identifier = icmp->identifier();
  fields.sequence = icmp->sequence();
  fields.tag =
      wire::network(fold(Sum{icmp->checksum()} + sum_of(fields.identifier) + path.addresses));
  return fields;
}

bool verify_echo(std::span<const std::byte> message, EchoPath path) noexcept {
  return wire::is_valid(sum_echo_pseudo_header(path, message.size()) + wire::sum_bytes(message));
}

bool is_wireguard_initiation(std::span<const std::byte> payload) noexcept {
  constexpr std::size_t initiation_length = 148;
  return payload.size() == initiation_length && wire::load32(payload.data()) == 0x01000000;
}

CodecStatus carry_packet(std::span<std::byte> packet, IcmpDirection direction, Tag user,
                         CarryOptions options) noexcept {
  Located found;
  if (const auto status = locate(packet, false, found); status != CodecStatus::done) return status;
  auto* header = packet.data() + found.headers.l4;
  const wire::UdpView udp(header);
  if (udp.length() != found.length()) return CodecStatus::malformed;
  const auto payload_sum = sum_udp_payload(packet, found, options.checksum_known);
  const auto port =
      direction == IcmpDirection::request ? udp.source_port() : udp.destination_port();
  const EchoFields fields{.direction = direction,
                          .identifier = port,
                          .sequence = options.reply_sequence.value_or(port)};
  write_echo_header(header, fields, user, found.path(), found.length() - echo_header_length,
                    payload_sum);
  replace_protocol(packet.data(), found,
                   found.headers.ipv6 ? wire::ip_protocol::icmpv6 : wire::ip_protocol::icmp);
  return CodecStatus::done;
}

CodecStatus restore_packet(std::span<std::byte> packet, IcmpDirection direction, Tag user,
                           std::uint16_t server_port) noexcept {
  Located found;
  if (const auto status = locate(packet, true, found); status != CodecStatus::done) return status;
  const auto message = packet.subspan(found.headers.l4, found.length());
  const auto echo = read_echo_header(message, found.path());
  if (!echo || echo->direction != direction || !echo->belongs_to(user)) return CodecStatus::other;

  const Sum payload_sum = minus(sum_echo_pseudo_header(found.path(), message.size()) +
                                wire::sum_bytes(message.first(echo_header_length)));
  const auto client_port = echo->client_port(user.profile);
  const wire::UdpEditor udp(message.data());
  udp.set_source_port(direction == IcmpDirection::request ? client_port : server_port);
  udp.set_destination_port(direction == IcmpDirection::request ? server_port : client_port);
  udp.set_length(static_cast<std::uint16_t>(message.size()));
  udp.set_checksum(wire::finish_udp(found.udp_pseudo_header() + sum_of(client_port) +
                                    sum_of(server_port) + sum_of(udp.length()) + payload_sum));
  replace_protocol(packet.data(), found, wire::ip_protocol::udp);
  return CodecStatus::done;
}

std::optional<EchoFields> read_packet(std::span<const std::byte> packet) noexcept {
  Located found;
  if (locate(packet, true, found) != CodecStatus::done) return std::nullopt;
  return read_echo_header(packet.subspan(found.headers.l4, found.length()), found.path());
}

}  // namespace warren::carrier
