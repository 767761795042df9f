// The header parser and the check of offload headers, on any bytes. Whatever they accept must lie
// within the packet: every byte that it promises is touched.
#include <cstring>
#include <vector>

#include "core/fuzzing.h"
#include "wire/checksum.h"
#include "wire/headers.h"
#include "wire/traffic_class.h"
#include "wire/virtio_net.h"
#include "wire/vxlan_outer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace warren;
  if (size < 1 + sizeof(OffloadHeader)) return 0;
  const auto medium = (data[0] & 1) != 0 ? Medium::ethernet : Medium::ip;
  OffloadHeader offload;
  std::memcpy(&offload, data + 1, sizeof offload);
  const auto given = std::as_bytes(std::span(data, size)).subspan(1 + sizeof offload);
  std::vector<std::byte> copy(given.begin(), given.end());
  const std::span packet(copy);

  const auto headers = wire::parse_headers(packet, medium);
  if (headers) {
    require(headers->l3 <= headers->l4 && headers->length() <= headers->end &&
            headers->end <= packet.size());
    // The sanitizer sees a read past the end.
    const auto sum = wire::sum_bytes(packet.first(headers->end));
    require(wire::is_valid(sum + wire::finish(sum)));
  }
  if (const auto message = wire::unwrap_vxlan(packet)) {
    require(message->bytes.size() < packet.size());
    require(wire::sum_bytes(message->bytes) < (std::uint64_t{1} << 40));
  }
  if (const auto outer = wire::find_vxlan_outer(packet)) require(*outer < packet.size());
  // A right checksum of IPv4 stays right.
  const auto ip_header = [&] {
    return packet.subspan(headers->l3,
                          std::size_t{wire::load8(packet.data() + headers->l3)} % 16 * 4);
  };
  const bool ipv4 = headers && !headers->ipv6;
  const bool right = ipv4 && wire::is_valid(wire::sum_bytes(ip_header()));
  if (wire::decapsulate_ecn(packet, medium, data[0] >> 6) && right)
    require(wire::is_valid(wire::sum_bytes(ip_header())));
  if (!wire::check_offload(packet, offload, medium)) {
    if (offload.checksum_pending()) {
      require(std::size_t{offload.checksum_start} + offload.checksum_offset + 2 <= packet.size());
    }
    if (offload.gso_type != OffloadHeader::gso_none) {
      require(headers.has_value() && offload.gso_size > 0 && headers->l4_length > 0);
    }
  }
  return 0;
}
