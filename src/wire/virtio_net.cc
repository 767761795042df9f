#include "wire/virtio_net.h"

#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace warren::wire {
namespace {

constexpr std::size_t max_ip_length = 65535;

bool checksum_in_range(std::size_t size, const OffloadHeader& offload,
                       const Headers* headers) noexcept {
  if (std::size_t{offload.checksum_start} + offload.checksum_offset + 2 > size) return false;
  // The sum covers no IP header of this packet (it may start behind a tunnel's inner one).
  return headers == nullptr || offload.checksum_start >= headers->l4;
}

bool type_matches(const OffloadHeader& offload, const Headers& headers) noexcept {
  const bool ecn = (offload.gso_type & OffloadHeader::gso_ecn) != 0;
  switch (offload.gso_type & ~OffloadHeader::gso_ecn) {
    case OffloadHeader::gso_tcp4:
      return headers.protocol == ip_protocol::tcp && !headers.ipv6;
    case OffloadHeader::gso_tcp6:
      return headers.protocol == ip_protocol::tcp && headers.ipv6;
    case OffloadHeader::gso_udp:
      return headers.protocol == ip_protocol::udp && !ecn;
    default:
      return false;
  }
}

bool can_segment(std::span<const std::byte> packet, const OffloadHeader& offload,
                 const Headers& headers) noexcept {
  if (!type_matches(offload, headers) || headers.l4_length == 0 || headers.fragment ||
      headers.authenticated) {
    return false;
  }
  const bool tcp = headers.protocol == ip_protocol::tcp;
  if (offload.checksum_pending() &&
      (offload.checksum_start != headers.l4 ||
       offload.checksum_offset != (tcp ? TcpView::checksum_at : UdpView::checksum_at))) {
    return false;
  }
  const std::size_t size = offload.gso_size;
  if (size == 0 || headers.length() - headers.l3 + size > max_ip_length) return false;
  if (tcp) return size >= min_tcp_segment;
  return headers.payload_length() <= size * max_udp_segments &&
         UdpView(packet.data() + headers.l4).length() == headers.end - headers.l4;
}

}  // namespace

std::optional<DropReason> check_offload(std::span<const std::byte> packet,
                                        const OffloadHeader& offload,
                                        const Headers* headers) noexcept {
  if (offload.checksum_pending() && !checksum_in_range(packet.size(), offload, headers)) {
    return DropReason::bad_offload;
  }
  if (offload.gso_type == OffloadHeader::gso_none) return std::nullopt;
  if (headers == nullptr) return DropReason::malformed;
  if (!can_segment(packet, offload, *headers)) return DropReason::bad_offload;
  return std::nullopt;
}

std::optional<DropReason> check_offload(std::span<const std::byte> packet,
                                        const OffloadHeader& offload, Medium medium) noexcept {
  if (!offload.checksum_pending() && offload.gso_type == OffloadHeader::gso_none) {
    return std::nullopt;
  }
  const auto headers = parse_headers(packet, medium);
  return check_offload(packet, offload, headers ? &*headers : nullptr);
}

}  // namespace warren::wire
