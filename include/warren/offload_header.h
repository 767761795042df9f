/// What is left to do to a packet: its checksum, its segmentation.
///
/// The kernel hands a TUN device's reader packets that are not finished: a TCP super-packet of up
/// to 64 KiB that stands for many wire packets, with a checksum that is only begun. The header in
/// front of such a packet says what remains. Source: virtio 1.2, section 5.1.6, and the kernel's
/// include/uapi/linux/virtio_net.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace warren {

/// Bit-compatible with the kernel's `struct virtio_net_hdr` in the byte order of the machine, as a
/// TUN device without TUNSETVNETLE uses it. All positions count from the first byte of the packet
/// (Ethernet for TAP, IP for TUN).
struct OffloadHeader {
  static constexpr std::uint8_t needs_checksum =
      1;  ///< flags: checksum_start and checksum_offset are valid
  static constexpr std::uint8_t checksum_valid = 2;  ///< flags: the sender's checksum was verified

  static constexpr std::uint8_t gso_none = 0;  ///< gso_type
  static constexpr std::uint8_t gso_tcp4 = 1;
  static constexpr std::uint8_t gso_tcp6 = 4;
  static constexpr std::uint8_t gso_udp = 5;     ///< "USO": UDP_SEGMENT, IPv4 and IPv6
  static constexpr std::uint8_t gso_ecn = 0x80;  ///< bit beside the type: TCP with CWR set
  /// Bits beside the type: a VXLAN's outer IP, UDP and VXLAN headers, of one family or the other,
  /// stand in front of the super-frame; they are repeated in front of each segment, with their own
  /// lengths. Between nodes; no device of the kernel gives or takes it here.
  static constexpr std::uint8_t gso_tunnel4 = 0x20;
  static constexpr std::uint8_t gso_tunnel6 = 0x40;

  std::uint8_t flags = 0;
  std::uint8_t gso_type = gso_none;
  std::uint16_t header_length =
      0;                       ///< bytes of headers before the payload: a hint, never to be trusted
  std::uint16_t gso_size = 0;  ///< payload bytes in each segment but the last
  std::uint16_t checksum_start = 0;   ///< the sum covers the packet from here to its end
  std::uint16_t checksum_offset = 0;  ///< where the sum belongs, counted from checksum_start

  [[nodiscard]] bool is_super_packet() const noexcept { return (gso_type & ~gso_ecn) != gso_none; }
  [[nodiscard]] bool is_tunnelled() const noexcept {
    return (gso_type & (gso_tunnel4 | gso_tunnel6)) != 0;
  }
  [[nodiscard]] bool checksum_pending() const noexcept { return (flags & needs_checksum) != 0; }
  /// Nothing is left to do: the packet can go out on any wire as it is.
  [[nodiscard]] bool complete() const noexcept { return !is_super_packet() && !checksum_pending(); }

  friend bool operator==(const OffloadHeader&, const OffloadHeader&) = default;
};
static_assert(sizeof(OffloadHeader) == 10);

}  // namespace warren
