#include "overlay/too_big.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace warren::overlay {

using namespace wire;  // NOLINT(google-build-using-namespace): views, loads and stores

namespace {

constexpr std::size_t min_ipv4_mtu = 576;  // less is nobody's, and an old way to do harm
constexpr std::size_t min_ipv6_mtu = 1280;
constexpr std::uint8_t hops = 64;
constexpr std::uint8_t fragmentation_needed = 4;

bool is_single_host4(const std::byte* address) noexcept {
  const auto first = load8(address);
  return first != 0 && first != 127 && first < 224;
}

bool is_single_host6(const std::byte* address) noexcept {
  constexpr std::array<std::byte, 16> unspecified{};
  return load8(address) != 0xff && std::memcmp(address, unspecified.data(), 16) != 0;
}

void finish4(std::span<std::byte> ip, const std::byte* quoted, std::size_t mtu) noexcept {
  store32(ip.data(), std::uint32_t{0x45} << 24 | static_cast<std::uint32_t>(ip.size()));
  store32(ip.data() + 4, Ipv4View::dont_fragment);
  store32(ip.data() + 8, std::uint32_t{hops} << 24 | std::uint32_t{ip_protocol::icmp} << 16);
  std::memcpy(ip.data() + 12, quoted + 16, 4);
  std::memcpy(ip.data() + 16, quoted + 12, 4);
  const Ipv4Editor header(ip.data());
  header.set_checksum(finish(sum_bytes(header.header())));
  const auto icmp = ip.subspan(Ipv4View::min_header_length);
  store32(icmp.data(),
          std::uint32_t{icmp_type::unreachable} << 24 | std::uint32_t{fragmentation_needed} << 16);
  store32(icmp.data() + 4, static_cast<std::uint32_t>(mtu));
  IcmpEditor::parse(icmp)->set_checksum(finish(sum_bytes(icmp)));
}

void finish6(std::span<std::byte> ip, const std::byte* quoted, std::size_t mtu) noexcept {
  const auto length = static_cast<std::uint16_t>(ip.size() - Ipv6View::min_header_length);
  store32(ip.data(), std::uint32_t{6} << 28);
  store32(ip.data() + 4,
          std::uint32_t{length} << 16 | std::uint32_t{ip_protocol::icmpv6} << 8 | hops);
  std::memcpy(ip.data() + 8, quoted + 24, 16);
  std::memcpy(ip.data() + 24, quoted + 8, 16);
  const auto icmp = ip.subspan(Ipv6View::min_header_length);
  store32(icmp.data(), std::uint32_t{icmpv6_type::packet_too_big} << 24);
  store32(icmp.data() + 4, static_cast<std::uint32_t>(mtu));
  IcmpEditor::parse(icmp)->set_checksum(
      finish(sum_pseudo_header6(ip.data() + 8, ip_protocol::icmpv6, length) + sum_bytes(icmp)));
}

}  // namespace

bool wants_answer(std::span<const std::byte> frame, const Headers& headers,
                  std::size_t mtu) noexcept {
  const auto* ip = frame.data() + headers.l3;
  if (headers.ipv6)
    return mtu >= min_ipv6_mtu && is_single_host6(ip + 8) && is_single_host6(ip + 24);
  const Ipv4View header(ip);
  const bool forbids = (header.fragment_word() & Ipv4View::dont_fragment) != 0;
  return forbids && header.fragment_offset() == 0 && mtu >= min_ipv4_mtu &&
         is_single_host4(ip + 12) && is_single_host4(ip + 16);
}

void write_answer(Packet& answer, const Headers& headers, std::size_t mtu) noexcept {
  const auto before = (headers.ipv6 ? Ipv6View::min_header_length : Ipv4View::min_header_length) +
                      IcmpView::header_length;
  answer.resize(
      std::min({answer.size(), std::size_t{headers.end}, headers.l3 + max_quote(headers.ipv6)}));
  answer.offload() = {};
  auto* frame = answer.prepend(before);
  std::memmove(frame, frame + before, headers.l3);
  std::swap_ranges(frame, frame + 6, frame + 6);
  const auto ip = answer.bytes().subspan(headers.l3);
  (headers.ipv6 ? finish6 : finish4)(ip, ip.data() + before, mtu);
}

}  // namespace warren::overlay
