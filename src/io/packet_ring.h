/// Packets from devices in memory that the kernel shares: no system call for each, and one copy
/// (AF_PACKET, PACKET_RX_RING, TPACKET_V2; packet(7), Documentation/networking/packet_mmap.rst).
///
/// The ring sees what IP sees, from the IP header on, and it sees it before firewall and routing do:
/// packets that are for others too, if this machine forwards. IP goes on to process them.
///
///     frame 0      frame 1      frame 2                      4096 of 2 KiB
///     ┌───────────┬────────────┬────────────┬──
///     │user: read │user: read  │kernel: free│ …   the kernel fills them in order; whoever reads gives
///     └───────────┴────────────┴────────────┴──   them back in order
///                               ▲ next()
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <warren/fd.h>
#include <warren/offload_header.h>
#include <warren/result.h>

namespace warren {

/// Not thread-safe.
class PacketRing {
 public:
  static constexpr std::size_t capacity = 4096;    ///< packets
  static constexpr std::size_t max_packet = 1944;  ///< bytes; longer ones are cut

  struct Source {
    std::uint16_t protocol = 0;  ///< ETH_P_IP and the like
    /// Of all devices the ring has what was ready for a wire. Of one device it tells what the kernel
    /// leaves for later (kernel 6.2 for UDP), and the filter begins at the link-layer header.
    int device = 0;
  };
  struct Packet {
    std::span<std::byte> bytes;  ///< from the IP header on; it may be changed
    OffloadHeader offload;       ///< of one device; positions are of no use
  };

  /// Of those packets, the ones that pass the filter. Needs CAP_NET_RAW now, and no privilege later.
  [[nodiscard]] static Result<PacketRing> open(const Source& source,
                                               std::span<const sock_filter> filter);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  ///< readable where next() gives one
  /// The next packet; good until release(). Nothing where there is none.
  [[nodiscard]] std::optional<Packet> next() noexcept;
  /// Gives all that next() gave back to the kernel.
  void release() noexcept;
  /// To be called where the descriptor was readable and next() gives nothing: a ring of a device that
  /// was down says so until somebody has listened.
  void forget_error() noexcept;
  /// How many packets found no room before those that next() gave, since the last call.
  [[nodiscard]] std::uint64_t take_overruns() noexcept;

 private:
  struct Unmap {
    void operator()(std::byte* memory) const noexcept;
  };

  PacketRing(Fd fd, std::byte* memory, bool offloads)
      : fd_(std::move(fd)), memory_(memory), offloads_(offloads) {}
  [[nodiscard]] std::byte* frame(std::size_t i) const noexcept;

  Fd fd_;
  std::unique_ptr<std::byte, Unmap> memory_;
  bool offloads_;
  std::size_t next_ = 0;
  std::size_t taken_ = 0;  // the frames before next_
  bool losing_ = false;    // a frame said so
};

}  // namespace warren
