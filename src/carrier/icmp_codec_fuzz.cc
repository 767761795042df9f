// Any bytes as an IP packet, given to both directions of the codec. Whatever it accepts comes back
// as it was, its size never changes, and the bytes behind the packet are left alone.
#include <cstring>
#include <vector>

#include "carrier/icmp_codec.h"
#include "core/fuzzing.h"
#include "wire/headers.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace {

using namespace warren;           // NOLINT
using namespace warren::carrier;  // NOLINT
using Bytes = std::vector<std::byte>;

// What Tag::parse() accepts.
bool is_valid(Tag tag) {
  return tag.profile == Profile::tutu ? tag.value <= 0xff : tag.value != 0 && tag.value != 0xffff;
}

// A datagram without checksum comes back with one, and of two zeros the carrier knows one: that of
// an IPv4 header may be either.
Bytes normal(Bytes packet) {
  const auto headers = wire::parse_headers(packet, Medium::ip);
  require(headers.has_value());
  if (!headers->ipv6) {
    const wire::Ipv4Editor ip(packet.data());
    if (ip.checksum() == 0) ip.set_checksum(0xffff);
  }
  if (headers->protocol == wire::ip_protocol::udp) {
    const wire::UdpEditor udp(packet.data() + headers->l4);
    if (udp.checksum() == 0) udp.set_checksum(0xffff);
  }
  return packet;
}

void check_carry(const Bytes& packet, IcmpDirection direction, Tag tag) {
  Bytes out = packet;
  if (carry_packet(out, direction, tag) != CodecStatus::done) {
    require(out == packet);
    return;
  }
  const auto headers = wire::parse_headers(packet, Medium::ip);
  const wire::UdpView udp(packet.data() + headers->l4);
  const bool had_checksum = udp.checksum() != 0;
  const auto server_port =
      direction == IcmpDirection::request ? udp.destination_port() : udp.source_port();
  const auto echo = read_packet(out);
  require(echo && echo->belongs_to(tag) && echo->direction == direction);
  require(restore_packet(out, direction, tag, server_port) == CodecStatus::done);
  if (had_checksum) require(normal(out) == normal(packet));
  require(std::equal(out.begin() + headers->end, out.end(), packet.begin() + headers->end));
}

void check_restore(const Bytes& packet, Profile profile) {
  const auto echo = read_packet(packet);
  if (!echo) return;
  const Tag tag{profile == Profile::tutu ? std::uint16_t{echo->code} : echo->tag, profile};
  Bytes out = packet;
  const auto status = restore_packet(out, echo->direction, tag, 51820);
  if (status != CodecStatus::done) {
    require(out == packet && echo->code != 0 && profile == Profile::warren);
    return;
  }
  if (!is_valid(tag)) return;
  require(carry_packet(out, echo->direction, tag, {.reply_sequence = echo->sequence}) ==
          CodecStatus::done);
  const auto again = read_packet(out);
  require(again && again->belongs_to(tag) && again->direction == echo->direction);
  if (profile == Profile::warren) require(again->identifier == echo->identifier);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto direction = (data[0] & 1) != 0 ? IcmpDirection::reply : IcmpDirection::request;
  const auto profile = (data[0] & 2) != 0 ? Profile::tutu : Profile::warren;
  std::uint16_t value = data[1];
  if (profile == Profile::warren) value = static_cast<std::uint16_t>(value << 8 | data[2]);
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const Bytes packet(begin + 3, begin + size);
  if (const Tag tag{value, profile}; is_valid(tag)) check_carry(packet, direction, tag);
  check_restore(packet, profile);
  return 0;
}
