/// The batch mode: many packets per call, in pooled buffers.
///
///     Batch batch;
///     while (in.read(batch) == ReadStatus::packet) out.write(batch);
///
/// With offload, a batch usually holds the segments of one super-packet, and the writer makes one
/// super-packet of them again (see packet_io.h).
#pragma once

#include <warren/sync.h>

namespace warren {

class BatchReader {
 public:
  /// The pool outlives the reader, and has more packets than a Batch.
  [[nodiscard]] static Result<BatchReader> create(const Tun& tun, Pool& pool,
                                                  std::size_t queue = 0) {
    auto reader = SyncReader::create(tun, queue);
    if (!reader) return tl::unexpected(reader.error());
    return BatchReader{std::move(*reader), pool};
  }

  /// Waits for one packet, then appends all that are there, until the batch is full.
  [[nodiscard]] ReadStatus read(Batch& batch, Waiter::Timeout timeout = Waiter::forever) noexcept {
    return reader_.read(*pool_, batch, timeout);
  }
  void interrupt() noexcept { reader_.interrupt(); }
  void reset() noexcept { reader_.reset(); }
  [[nodiscard]] const Counters& counters() const noexcept { return reader_.counters(); }
  [[nodiscard]] int error() const noexcept { return reader_.error(); }

 private:
  BatchReader(SyncReader reader, Pool& pool) : reader_(std::move(reader)), pool_(&pool) {}
  SyncReader reader_;
  Pool* pool_;
};

/// write(Batch&) hands over every packet.
using BatchWriter = PacketWriter;

}  // namespace warren
