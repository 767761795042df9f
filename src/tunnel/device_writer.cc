#include "tunnel/device_writer.h"

#include <sys/uio.h>

#include <cerrno>

namespace warren::tunnel {

namespace {

offload::CoalesceOptions coalescing_for(const Tun& device) {
  const auto offloads = device.offloads();
  offload::CoalesceOptions options;
  options.medium = device.mode() == TunMode::tap ? Medium::ethernet : Medium::ip;
  options.tcp4 = offloads.tso4;
  options.tcp6 = offloads.tso6;
  options.udp = offloads.uso;
  return options;
}

}  // namespace

DeviceWriter::DeviceWriter(const Tun& device, Counters& counters)
    : device_(device), counters_(counters), coalescer_(coalescing_for(device)) {}

void DeviceWriter::flush() noexcept {
  const bool header = device_.offloads().header;
  for (const auto& packet : coalescer_.finish()) {
    const auto pieces = header ? packet.pieces_with_offload() : packet.pieces();
    counters_.packets.add(1);
    counters_.bytes.add(packet.size);
    if (::writev(device_.fd(), pieces.data(), static_cast<int>(pieces.size())) < 0)
      counters_.drop(errno == EAGAIN ? DropReason::queue_full : DropReason::device_error,
                     packet.packets);
  }
}

}  // namespace warren::tunnel
