/// Writes packets to a TUN or TAP device: merged to super-packets where the device takes them, their
/// payloads from where they lie (writev).
#pragma once

#include <span>

#include <warren/counters.h>
#include <warren/tun.h>

#include "offload/coalesce.h"

namespace warren::tunnel {

/// Not thread-safe.
class DeviceWriter {
 public:
  /// Both outlive this. `counters` counts what is written, a super-packet once.
  DeviceWriter(const Tun& device, Counters& counters);

  /// The bytes stay where they are, and unchanged, until flush(). `offload`: what is left to do,
  /// which is left to the device; only where it takes offload headers.
  void add(std::span<const std::byte> packet, const OffloadHeader& offload = {}) noexcept {
    if (coalescer_.add(packet, offload)) return;
    flush();
    (void)coalescer_.add(packet, offload);
  }
  void flush() noexcept;

 private:
  const Tun& device_;
  Counters& counters_;
  offload::Coalescer coalescer_;
};

}  // namespace warren::tunnel
