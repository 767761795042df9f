#include "offload/segmenting_sink.h"

#include "offload/segment.h"

namespace warren::offload {

Result<std::unique_ptr<PacketSink>> SegmentingSink::between(Port& producer, Port& consumer) {
  auto pool = Pool::create(default_pool_packets, Pool::super_packet_size);
  if (!pool) return fail_in("segment what leaves " + producer.name(), pool.error());
  return std::make_unique<SegmentingSink>(consumer, consumer.capabilities(), std::move(*pool),
                                          producer.sent);
}

bool SegmentingSink::takes(const OffloadHeader& offload) const noexcept {
  if (offload.is_tunnelled() && !takes_.tunnel) return false;
  switch (offload.gso_type &
          ~(OffloadHeader::gso_ecn | OffloadHeader::gso_tunnel4 | OffloadHeader::gso_tunnel6)) {
    case OffloadHeader::gso_none:
      return takes_.checksum || !offload.checksum_pending();
    case OffloadHeader::gso_tcp4:
      return takes_.tso4;
    case OffloadHeader::gso_tcp6:
      return takes_.tso6;
    case OffloadHeader::gso_udp:
      return takes_.uso;
    default:
      return false;
  }
}

void SegmentingSink::receive(Batch& batch) noexcept {
  std::size_t taken = 0;
  while (taken < batch.size() && takes(batch.offload(taken))) ++taken;
  if (taken == batch.size()) return next_.receive(batch);

  Batch out;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto packet = batch.take(i);
    if (!takes(packet.offload()) && packet.offload().is_super_packet()) {
      segment(packet, out);
      continue;
    }
    if (!takes(packet.offload())) {
      const auto done = complete_checksum(packet.bytes(), packet.offload(), takes_.medium);
      if (!done) {
        counters_.drop(done.error());
        continue;
      }
    }
    pass_on(std::move(packet), out);
  }
  batch.clear();
  if (!out.empty()) next_.receive(out);
}

void SegmentingSink::pass_on(Packet packet, Batch& out) noexcept {
  if (out.full()) next_.receive(out);
  out.push(std::move(packet));
}

void SegmentingSink::segment(const Packet& packet, Batch& out) noexcept {
  const auto plan = SegmentPlan::make(packet.bytes(), packet.offload(), takes_.medium);
  if (!plan) return counters_.drop(plan.error());
  for (std::size_t next = 0; next < plan->count();) {
    if (out.full()) next_.receive(out);
    next = write_segments(*plan, next, *pool_, out, counters_);
  }
}

}  // namespace warren::offload
