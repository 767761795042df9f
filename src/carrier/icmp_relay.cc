#include "carrier/icmp_relay.h"

namespace warren::carrier {

void IcmpRelayCounters::add_out(const SendBatch::Outcome& outcome) noexcept {
  out_packets.add(outcome.sent);
  out_bytes.add(outcome.bytes);
  shortcut.add(outcome.frames);
  too_big.add(outcome.too_big);
  failed.add(outcome.failed);
}

void IcmpRelayCounters::add_in(const SendBatch::Outcome& outcome) noexcept {
  in_packets.add(outcome.sent);
  in_bytes.add(outcome.bytes);
  too_big.add(outcome.too_big);
  failed.add(outcome.failed);
}

std::vector<NamedCount> list_counters(const IcmpRelayCounters& counters) {
  return {{"out_packets", counters.out_packets.value()},
          {"out_bytes", counters.out_bytes.value()},
          {"shortcut", counters.shortcut.value()},
          {"in_packets", counters.in_packets.value()},
          {"in_bytes", counters.in_bytes.value()},
          {"opened", counters.opened.value()},
          {"expired", counters.expired.value()},
          {"evicted", counters.evicted.value()},
          {"pings", counters.pings.value()},
          {"damaged", counters.damaged.value()},
          {"ring", counters.ring.value()},
          {"local_ring", counters.local_ring.value()},
          {"overrun", counters.overrun.value()},
          {"unknown", counters.unknown.value()},
          {"table_full", counters.table_full.value()},
          {"no_server", counters.no_server.value()},
          {"too_big", counters.too_big.value()},
          {"failed", counters.failed.value()}};
}

}  // namespace warren::carrier
