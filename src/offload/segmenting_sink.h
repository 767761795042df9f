/// Stands in front of a consumer that takes less than its producer emits: super-packets that the
/// consumer does not take are segmented, checksums that it does not complete are completed. All
/// else passes untouched, and everything keeps its order.
#pragma once

#include <memory>

#include <warren/packet.h>

#include "core/port.h"

namespace warren::offload {

class SegmentingSink final : public PacketSink {
 public:
  static constexpr std::size_t default_pool_packets = 1024;

  /// For a link, as a Graph::Adapter: what is dropped here counts as the producer's.
  [[nodiscard]] static Result<std::unique_ptr<PacketSink>> between(Port& producer, Port& consumer);

  /// For any consumer. `takes`: what it takes. Segments are packets of `pool`; memory that is never
  /// used costs nothing, so packets of Pool::super_packet_size fit every MTU. `next` and `counters`
  /// outlive this.
  SegmentingSink(PacketSink& next, const Capabilities& takes, std::unique_ptr<Pool> pool,
                 Counters& counters) noexcept
      : next_(next), takes_(takes), pool_(std::move(pool)), counters_(counters) {}

  void receive(Batch& batch) noexcept override;
  void flush() noexcept override { next_.flush(); }

 private:
  [[nodiscard]] bool takes(const OffloadHeader& offload) const noexcept;
  void pass_on(Packet packet, Batch& out) noexcept;
  void segment(const Packet& packet, Batch& out) noexcept;

  PacketSink& next_;
  Capabilities takes_;
  std::unique_ptr<Pool> pool_;
  Counters& counters_;
};

}  // namespace warren::offload
