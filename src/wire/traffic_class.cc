#include "wire/traffic_class.h"

#include <algorithm>

#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace warren::wire {

namespace {

/// The IP header of a packet, as far as it is there.
template <AnyByte Byte>
std::span<Byte> ip_of(std::span<Byte> packet, Medium medium) noexcept {
  std::size_t at = 0;
  if (medium == Medium::ethernet) {
    const auto frame = EthernetView::parse(packet);
    if (!frame) return {};
    const auto type = frame->type();
    if (type != ether_type::ipv4 && type != ether_type::ipv6) return {};
    at = frame->header_length();
  }
  const auto ip = packet.subspan(at);
  if (ip.empty()) return {};
  const auto version = load8(ip.data()) >> 4;
  if (version == 4 && ip.size() >= Ipv4View::min_header_length) return ip;
  if (version == 6 && ip.size() >= Ipv6View::min_header_length) return ip;
  return {};
}

void set_ecn(std::byte* ip, std::uint8_t bits) noexcept {
  const bool ipv6 = load8(ip) >> 4 == 6;
  const auto before = load_raw<std::uint16_t>(ip);
  if (ipv6) {
    store16(ip, static_cast<std::uint16_t>((load16(ip) & ~(ecn::mask << 4)) | bits << 4));
    return;
  }
  store8(ip + 1, static_cast<std::uint8_t>((load8(ip + 1) & ~ecn::mask) | bits));
  const Ipv4Editor header(ip);
  header.set_checksum(update_checksum(header.checksum(), before, load_raw<std::uint16_t>(ip)));
}

}  // namespace

std::uint8_t traffic_class_of(std::span<const std::byte> packet, Medium medium) noexcept {
  const auto ip = ip_of(packet, medium);
  if (ip.empty()) return 0;
  return load8(ip.data()) >> 4 == 6 ? Ipv6View(ip.data()).traffic_class()
                                    : Ipv4View(ip.data()).tos();
}

bool decapsulate_ecn(std::span<std::byte> packet, Medium medium, std::uint8_t outer) noexcept {
  const auto mark = outer & ecn::mask;
  if (mark != ecn::congested && mark != ecn::capable1) return true;
  const auto ip = ip_of(packet, medium);
  if (ip.empty()) return true;
  const auto inner = traffic_class_of(ip, Medium::ip) & ecn::mask;
  if (inner == ecn::not_capable) return mark != ecn::congested;
  // ECT(1) over ECT(0) is a mark too, the milder one.
  if (inner < ecn::congested && (mark == ecn::congested || inner == ecn::capable0))
    set_ecn(ip.data(), static_cast<std::uint8_t>(mark));
  return true;
}

}  // namespace warren::wire
