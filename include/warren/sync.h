/// The sync mode: blocking, one packet per call.
///
///     for (;;) {
///       std::span<std::byte> packet;
///       if (in.read(packet) != ReadStatus::packet) break;
///       out.write(packet);
///       if (in.buffered() == 0) out.flush();
///     }
///
/// With offload the packets are the segments of super-packets (see packet_io.h). Threads: read() is
/// for one thread; interrupt() may come from any thread or from a signal handler.
#pragma once

#include <warren/packet_io.h>
#include <warren/wait.h>

namespace warren {

class SyncReader {
 public:
  [[nodiscard]] static Result<SyncReader> create(const Tun& tun, std::size_t queue = 0) {
    auto reader = PacketReader::create(tun, queue);
    if (!reader) return tl::unexpected(reader.error());
    auto waiter = Waiter::create();
    if (!waiter) return tl::unexpected(waiter.error());
    return SyncReader{std::move(*reader), std::move(*waiter)};
  }

  /// Waits for the next packet: a view that stays valid until the next read that is made while
  /// buffered() is 0. ReadStatus::empty: the time is up.
  [[nodiscard]] ReadStatus read(std::span<std::byte>& packet,
                                Waiter::Timeout timeout = Waiter::forever) noexcept {
    return wait(timeout, [&] { return reader_.read(packet); });
  }
  /// The same in a buffer of `pool`, which the program may keep or pass to another thread.
  [[nodiscard]] ReadStatus read(Pool& pool, Packet& packet,
                                Waiter::Timeout timeout = Waiter::forever) noexcept {
    return wait(timeout, [&] { return reader_.read(pool, packet); });
  }
  /// The batch mode's: waits for one packet, then takes all that are there (see batch_io.h).
  [[nodiscard]] ReadStatus read(Pool& pool, Batch& batch,
                                Waiter::Timeout timeout = Waiter::forever) noexcept {
    return wait(timeout, [&] { return reader_.read(pool, batch); });
  }

  /// Packets that come without a system call.
  [[nodiscard]] std::size_t buffered() const noexcept { return reader_.buffered(); }
  /// Makes the read that runs now, and every one after it, return ReadStatus::interrupted.
  void interrupt() noexcept { waiter_.interrupt(); }
  /// Reads may be made again.
  void reset() noexcept { waiter_.reset(); }
  [[nodiscard]] const Counters& counters() const noexcept { return reader_.counters(); }
  [[nodiscard]] int error() const noexcept { return reader_.error(); }

 private:
  SyncReader(PacketReader reader, Waiter waiter)
      : reader_(std::move(reader)), waiter_(std::move(waiter)) {}
  template <class Read>
  ReadStatus wait(Waiter::Timeout timeout, Read&& read) noexcept {
    return read_or_wait<ReadStatus>(waiter_, reader_.fd(), timeout, read);
  }

  PacketReader reader_;
  Waiter waiter_;
};

/// Writes never wait, so that the writer is the same in all modes.
using SyncWriter = PacketWriter;

}  // namespace warren
