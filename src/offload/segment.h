/// Segmentation: from a super-packet to the packets that it stands for (GSO).
///
///     super-packet:   | headers | payload 0 | payload 1 | … | last payload |
///     segment i:      | headers, with lengths, IP id, sequence, flags and checksums of i | payload
///     i |
///
/// The rules are the kernel's (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c, ip6_offload.c):
/// the IPv4 id grows by one; the TCP sequence by the payload; FIN and PSH stay on the last segment
/// only, CWR on the first only; each UDP datagram has its own length. Every checksum is complete.
///
/// Behind the headers of a VXLAN (OffloadHeader::is_tunnelled) it is the same, and each segment has
/// its own outer headers:
///
///     segment i:      | IP, UDP, VXLAN | Ethernet, IP, TCP of i | payload i |
///
/// A plan validates once, and sums once what all headers have in common. Where the segments go is
/// up to the caller: write_segment() copies the payload and sums it in the same pass;
/// write_header() leaves the payload where it is, for a gather write or for the same buffer:
///
///     while sending in ascending order, header i may overwrite the end of payload i - 1
///
///     | headers 0 | payload 0 | payload 1 | …
///                   | headers 1 |             write_in_place(1)
#pragma once

#include <tl/expected.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <warren/batch.h>

#include "wire/checksum.h"
#include "wire/headers.h"

namespace warren::offload {

/// Refers to the super-packet, which must outlive it. Plain data; may be copied.
class SegmentPlan {
 public:
  /// For super-packets (OffloadHeader::is_super_packet). The reason to drop the packet, where its
  /// headers or the offload header make no sense.
  [[nodiscard]] static tl::expected<SegmentPlan, DropReason> make(std::span<const std::byte> packet,
                                                                  const OffloadHeader& offload,
                                                                  Medium medium) noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t header_length() const noexcept { return headers_.length(); }
  /// The payload of segment `index` in the super-packet.
  [[nodiscard]] std::span<const std::byte> payload(std::size_t index) const noexcept {
    const auto all = packet_.subspan(header_length());
    const auto at = index * segment_payload_;
    return all.subspan(at, std::min(segment_payload_, all.size() - at));
  }
  [[nodiscard]] std::size_t segment_size(std::size_t index) const noexcept {
    return header_length() + payload(index).size();
  }
  /// The largest, which is the first.
  [[nodiscard]] std::size_t max_segment_size() const noexcept { return segment_size(0); }

  /// Writes segment `index` < count(), segment_size(index) bytes that do not overlap the
  /// super-packet.
  void write_segment(std::size_t index, std::byte* out) const noexcept;
  /// Writes only its header, header_length() bytes, and sums the payload in the super-packet. Not
  /// behind the headers of a VXLAN.
  void write_header(std::size_t index, std::byte* out) const noexcept;

  /// Whether headers that overwrite the payload before them leave the super-packet's own header
  /// whole.
  [[nodiscard]] bool fits_in_place() const noexcept {
    return outer_ == 0 && (count_ == 1 || segment_payload_ >= header_length());
  }
  /// Writes header `index` right before its payload in `packet`, the plan's own bytes, and returns
  /// the segment. In ascending order, and done with one segment before the next is written;
  /// fits_in_place().
  [[nodiscard]] std::span<std::byte> write_in_place(std::size_t index,
                                                    std::span<std::byte> packet) const noexcept;

 private:
  SegmentPlan() = default;
  [[nodiscard]] static tl::expected<SegmentPlan, DropReason> make_tunnelled(
      std::span<const std::byte> packet, const OffloadHeader& offload, Medium medium) noexcept;
  void sum_common_headers(const OffloadHeader& offload) noexcept;
  void finish_header(std::size_t index, std::size_t payload_size, wire::Sum payload,
                     std::byte* out) const noexcept;

  std::span<const std::byte> packet_;  ///< up to the end of the IP packet
  wire::Headers headers_;
  std::size_t outer_ = 0;  ///< bytes of the outer headers of a VXLAN
  std::size_t segment_payload_ = 0;
  std::size_t count_ = 0;
  // What differs between segments is left out of these sums, and added for each of them.
  wire::Sum ip_sum_ = 0;  ///< IPv4 header without length, id and checksum
  wire::Sum transport_sum_ =
      0;  ///< pseudo-header and transport header, without lengths, sequence, flags, checksum
  std::uint32_t sequence_ = 0;
  std::uint16_t id_ = 0;
  std::uint16_t outer_id_ = 0;
  std::uint16_t flags_word_ = 0;  ///< TCP: data offset and flags
};

/// Writes segments from `first` on into packets of `pool` and appends them to `out`, until all are
/// written or `out` is full. Returns the next segment to write, plan.count() at the end. Where the
/// pool is empty the rest is dropped and counted; packets of the pool that are too small count as
/// too_big.
[[nodiscard]] std::size_t write_segments(const SegmentPlan& plan, std::size_t first, Pool& pool,
                                         Batch& out, Counters& counters) noexcept;

/// Completes the checksum of a packet that is no super-packet, and clears what was pending in
/// `offload`. The reason to drop the packet, where the positions in `offload` make no sense.
[[nodiscard]] tl::expected<void, DropReason> complete_checksum(std::span<std::byte> packet,
                                                               OffloadHeader& offload,
                                                               Medium medium) noexcept;

}  // namespace warren::offload
