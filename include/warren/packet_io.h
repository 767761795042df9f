/// Single finished packets from and to one queue of a TUN device, without waiting: the ground on
/// which the sync, batch, async and framed modes stand.
///
/// Where the device has offload, super-packets are segmented on the way in and packets are
/// coalesced on the way out, so that the program sees single packets with complete checksums, while
/// one system call moves up to 64 KiB:
///
///     kernel -- super-packet --> PacketReader -- packet, packet, … --> program
///     kernel <-- super-packet -- PacketWriter <-- packet, packet, … -- program
///
/// The packets of one flow keep their order. Ownership: both refer to the Tun's descriptor; the Tun
/// must outlive them. Threads: each object is for one thread at a time; a reader and a writer of
/// one queue may be used by two threads. Errors of single packets are counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <warren/batch.h>
#include <warren/counters.h>
#include <warren/packet.h>
#include <warren/tun.h>

namespace warren {

enum class ReadStatus : std::uint8_t {
  packet,       ///< here it is
  empty,        ///< nothing is there now; from a call that waits: the time is up
  no_buffer,    ///< the pool is exhausted: free packets, then read again; nothing is lost
  interrupted,  ///< interrupt() was called
  failed,       ///< the device is gone; see error()
};

class PacketReader {
 public:
  [[nodiscard]] static Result<PacketReader> create(const Tun& tun, std::size_t queue = 0);
  PacketReader(PacketReader&&) noexcept;
  PacketReader& operator=(PacketReader&&) noexcept;
  ~PacketReader();

  /// A view of the next packet. It stays valid until the next read that is made while buffered() is
  /// 0; the program may change the bytes.
  [[nodiscard]] ReadStatus read(std::span<std::byte>& packet) noexcept;
  /// The next packet in a buffer of `pool`, whose packets should hold the device's MTU (and 14
  /// bytes for TAP): larger ones are dropped and counted as too_big.
  [[nodiscard]] ReadStatus read(Pool& pool, Packet& packet) noexcept;
  /// Appends what is there to `batch`, until it is full. The segments of a super-packet come
  /// together where they fit an empty batch.
  [[nodiscard]] ReadStatus read(Pool& pool, Batch& batch) noexcept;

  /// Packets that come without a system call: the rest of a super-packet.
  [[nodiscard]] std::size_t buffered() const noexcept;
  [[nodiscard]] const Counters& counters() const noexcept;
  /// The errno value behind ReadStatus::failed.
  [[nodiscard]] int error() const noexcept;
  [[nodiscard]] int fd() const noexcept;

 private:
  class Impl;
  explicit PacketReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class PacketWriter {
 public:
  [[nodiscard]] static Result<PacketWriter> create(const Tun& tun, std::size_t queue = 0);
  PacketWriter(PacketWriter&&) noexcept;
  PacketWriter& operator=(PacketWriter&&) noexcept;
  /// Flushes.
  ~PacketWriter();

  /// Without offload the packet is written at once. With offload it is held back, by reference, to
  /// be coalesced with others: the bytes must stay as they are until flush(). A TUN device takes
  /// packets at once, so nothing here waits.
  void write(std::span<const std::byte> packet) noexcept;
  /// The same, and the writer owns the packet meanwhile.
  void write(Packet packet) noexcept;
  /// Writes and flushes every packet, and leaves the batch empty.
  void write(Batch& batch) noexcept;
  /// Hands over what was held back. Call it whenever no packet is at hand any more
  /// (PacketReader::buffered() is 0).
  void flush() noexcept;

  [[nodiscard]] const Counters& counters() const noexcept;

 private:
  class Impl;
  explicit PacketWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace warren
