/// Coalescing: from packets of a flow to super-packets (GRO).
///
///     packets:  | headers | payload 0 |   | headers | payload 1 |   | headers | payload 2 |
///                            \                         \                        \.
///     item:     OffloadHeader, headers rewritten, payload 0, payload 1, payload 2      (a gather
///     list)
///
/// The rules are the kernel's (tcp_offload.c, udp_offload.c, af_inet.c, ip6_offload.c), so that
/// segmentation gives back the very same packets: one flow; consecutive TCP sequence; payloads of
/// one size but the last, which may be smaller; equal acknowledgment, window, flags, TCP options,
/// TTL, TOS, flow label, extension headers and Ethernet header; IPv4 id that grows by one, or that
/// is fixed with DF. PSH ends a super-packet; FIN, SYN, RST and URG, IPv4 options and fragments are
/// never merged; CWR only begins one. At most 65535 bytes of IP, and 64 datagrams of UDP.
///
/// A merged packet gets a new checksum, so a corrupt packet must not become part of one: before two
/// packets are merged both are verified. What does not verify comes out as it came in.
///
/// Packets of one flow keep their order; packets of different flows need not.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <warren/offload_header.h>
#include <warren/packet.h>

#include "wire/headers.h"

namespace warren::offload {

struct CoalesceOptions {
  Medium medium = Medium::ip;
  bool tcp4 = true;  ///< what the consumer takes as super-packets
  bool tcp6 = true;
  bool udp = true;
  /// Believe OffloadHeader::checksum_valid and needs_checksum: such packets never crossed a wire
  /// since they were summed. Without it packets with a pending checksum are not merged.
  bool trust_checksums = false;
};

/// One packet that leaves: a super-packet, or a packet as it came in.
class CoalescedPacket {
 public:
  OffloadHeader offload;
  std::size_t size = 0;     ///< bytes, without the OffloadHeader
  std::size_t packets = 0;  ///< that went in

  /// The bytes of the packet in order: for a device without offload headers.
  [[nodiscard]] std::span<const iovec> pieces() const noexcept { return pieces_.subspan(1); }
  /// The same behind the OffloadHeader: as a TUN device with IFF_VNET_HDR takes them from writev().
  [[nodiscard]] std::span<const iovec> pieces_with_offload() const noexcept { return pieces_; }
  /// Copies it into `out`, an empty packet. False where it does not fit.
  [[nodiscard]] bool copy_to(Packet& out) const noexcept;

 private:
  friend class Coalescer;
  std::span<const iovec> pieces_;
};

/// Some 170 KiB, nothing on the heap. One thread at a time.
class Coalescer {
 public:
  static constexpr std::size_t max_packets = 512;
  /// Packets with longer headers are not merged.
  static constexpr std::size_t max_header_length = 256;
  static constexpr std::size_t max_udp_packets = 64;

  explicit Coalescer(const CoalesceOptions& options) noexcept : options_(options) {}
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  /// False where max_packets are held: finish() first, then add it again. The bytes stay where they
  /// are, and unchanged, until the items of finish() have been used.
  [[nodiscard]] bool add(std::span<const std::byte> packet, const OffloadHeader& offload) noexcept;
  [[nodiscard]] std::size_t held() const noexcept { return packet_count_; }

  /// All that was added since the last finish(). The items are valid until the next one.
  [[nodiscard]] std::span<const CoalescedPacket> finish() noexcept;

 private:
  static constexpr std::size_t table_size = 2 * max_packets;
  static constexpr std::uint16_t none = 0xffff;

  /// A packet as it was added; those of one group are chained.
  struct Input {
    std::span<const std::byte> bytes;
    OffloadHeader offload;
    std::uint16_t next = none;
  };
  enum class IdRule : std::uint8_t { unknown, grows, fixed };
  /// What will be one item. Its first packet stands for the fields that all have in common.
  struct Group {
    wire::Headers headers;
    std::uint16_t first = none;
    std::uint16_t last = none;
    std::uint16_t count = 1;
    bool open = false;      ///< another packet may be appended
    bool verified = false;  ///< the checksums of the first packet
    bool psh = false;       ///< of the last packet
    IdRule id_rule = IdRule::unknown;
    std::uint32_t payload = 0;  ///< bytes of all packets
    std::uint32_t segment = 0;  ///< bytes of the first packet's
  };

  [[nodiscard]] bool may_merge(const Input& input, const wire::Headers& headers) const noexcept;
  [[nodiscard]] bool verify(const Input& input, const wire::Headers& headers) const noexcept;
  [[nodiscard]] bool continues(Group& group, const Input& input,
                               const wire::Headers& headers) const noexcept;
  [[nodiscard]] bool append(Group& group, Input& input, const wire::Headers& headers,
                            bool& sound) noexcept;
  std::uint16_t& find_flow(const Input& input, const wire::Headers& headers) noexcept;
  Group& start_group(const wire::Headers& headers) noexcept;
  void close_groups_between_hosts(const Input& input, const wire::Headers& headers) noexcept;
  void write_merged_header(const Group& group, std::byte* header,
                           OffloadHeader& offload) const noexcept;
  void make_item(const Group& group, CoalescedPacket& item) noexcept;

  CoalesceOptions options_;
  std::size_t packet_count_ = 0;
  std::size_t group_count_ = 0;
  std::array<Input, max_packets> inputs_;
  std::array<Group, max_packets> groups_;
  /// By hash of the flow: index of its newest group plus one, or 0.
  std::array<std::uint16_t, table_size> table_{};

  std::size_t piece_count_ = 0;
  std::size_t header_bytes_ = 0;
  std::array<CoalescedPacket, max_packets> items_;
  std::array<iovec, 2 * max_packets> pieces_;  ///< n packets need 2 if n is 1, else n + 2
  std::array<std::byte, max_packets / 2 * max_header_length> header_storage_;
};

}  // namespace warren::offload
