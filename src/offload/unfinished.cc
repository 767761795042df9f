#include "offload/unfinished.h"

#include "wire/checksum.h"
#include "wire/headers.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace warren::offload {

using namespace wire;  // NOLINT: this file is about nothing else

namespace {

constexpr std::size_t largest_on_a_wire = 1500;
constexpr std::uint16_t segment_size = 1200;  // with IPv6 and all TCP options less than 1280

}  // namespace

OffloadHeader find_unfinished(std::span<const std::byte> packet, Medium medium) noexcept {
  const auto headers = parse_headers(packet, medium);
  if (!headers || headers->l4_length == 0 || headers->fragment) return {};
  const bool tcp = headers->protocol == ip_protocol::tcp;
  if (!tcp && headers->protocol != ip_protocol::udp) return {};
  const auto* ip = packet.data() + headers->l3;
  const auto length = static_cast<std::uint16_t>(headers->end - headers->l4);
  const auto pseudo = headers->ipv6 ? sum_pseudo_header6(ip + 8, headers->protocol, length)
                                    : sum_pseudo_header4(ip + 12, headers->protocol, length);
  const auto at = tcp ? TcpView::checksum_at : UdpView::checksum_at;
  if (load_raw<std::uint16_t>(packet.data() + headers->l4 + at) != fold(pseudo)) return {};

  OffloadHeader offload;
  offload.flags = OffloadHeader::needs_checksum;
  offload.checksum_start = static_cast<std::uint16_t>(headers->l4);
  offload.checksum_offset = at;
  if (!tcp || headers->end - headers->l3 <= largest_on_a_wire) return offload;
  offload.gso_type = headers->ipv6 ? OffloadHeader::gso_tcp6 : OffloadHeader::gso_tcp4;
  if ((TcpView(packet.data() + headers->l4).flags() & tcp_flag::cwr) != 0)
    offload.gso_type |= OffloadHeader::gso_ecn;
  offload.gso_size = segment_size;
  offload.header_length = static_cast<std::uint16_t>(headers->length());
  return offload;
}

}  // namespace warren::offload
