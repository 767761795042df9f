/// What the backends of Loop share; for loop*.cc.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <warren/loop.h>

namespace warren {

[[nodiscard]] Result<std::unique_ptr<Loop>> create_epoll_loop();
/// Fails, and says why, where the kernel lacks io_uring or multishot reads or forbids them.
[[nodiscard]] Result<std::unique_ptr<Loop>> create_uring_loop();

/// The time that is left, not below zero.
[[nodiscard]] inline timespec until(Clock::time_point deadline) noexcept {
  const auto left = std::max(Clock::duration::zero(), deadline - Clock::now());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

/// `count` bytes were read to just before the packet's data, where a header comes first: takes that
/// header over. False, and counted, where the device gave less than a header.
[[nodiscard]] inline bool finish_read(const PacketStream::Config& config, Packet& packet,
                                      std::size_t count) noexcept {
  if (config.offload_header) {
    OffloadHeader& header = packet.offload();
    if (count <= sizeof header) {
      config.read_counters->drop(DropReason::malformed);
      return false;
    }
    std::memcpy(&header, packet.data() - sizeof header, sizeof header);
    count -= sizeof header;
  }
  packet.resize(count);
  return true;
}

/// The packet as it is written, its offload header in front where the device wants one.
[[nodiscard]] inline std::span<std::byte> with_header(const PacketStream::Config& config,
                                                      Packet& packet) noexcept {
  if (config.offload_header) {
    const OffloadHeader header = packet.offload();
    std::memcpy(packet.prepend(sizeof header), &header, sizeof header);
  }
  return packet.bytes();
}

/// The kernel refused a packet, for reason `error`.
inline void count_refusal(const PacketStream::Config& config, int error) noexcept {
  switch (error) {
    case EAGAIN:
      return config.write_counters->drop(DropReason::queue_full);
    case EINVAL:
      return config.write_counters->drop(DropReason::bad_offload);
    case EMSGSIZE:
      return config.write_counters->drop(DropReason::too_big);
    default:
      return config.write_counters->drop(DropReason::device_error);
  }
}

/// Hands one packet to the kernel.
inline void write_packet(const PacketStream::Config& config, Packet& packet) noexcept {
  const auto bytes = with_header(config, packet);
  if (::write(config.fd, bytes.data(), bytes.size()) < 0) count_refusal(config, errno);
}

}  // namespace warren
