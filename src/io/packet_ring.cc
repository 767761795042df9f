#include "io/packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>

#include "io/socket_filter.h"

namespace warren {
namespace {

constexpr std::size_t frame_size = 2048;
constexpr std::size_t frames = PacketRing::capacity;
constexpr std::size_t block_size = 1U << 16;
constexpr std::size_t memory_size = frames * frame_size;
static_assert(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + sizeof(OffloadHeader) +
                  PacketRing::max_packet <=
              frame_size);

// The kernel filled the frames on another core. Bytes are fetched from there one packet after the other,
// or, where they are asked for in time, while earlier packets are worked on: a tenth more messages
// passed a relay.
constexpr std::size_t frames_ahead = 4;
constexpr std::size_t cache_line = 64;

tpacket2_hdr& header_of(std::byte* frame) { return *reinterpret_cast<tpacket2_hdr*>(frame); }

void fetch(const std::byte* memory, std::size_t size) noexcept {
  for (std::size_t at = 0; at < size; at += cache_line) __builtin_prefetch(memory + at);
}

Result<> set(int fd, int option, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_PACKET, option, value, size) != 0) return fail_errno(what);
  return {};
}

Result<> prepare(int fd, bool offloads, std::span<const sock_filter> filter) {
  if (!attach(fd, filter)) return fail_errno("attach a filter to a packet socket");
  const int version = TPACKET_V2;
  if (auto done = set(fd, PACKET_VERSION, &version, sizeof version, "choose a packet ring"); !done)
    return done;
  const int on = 1;
  if (offloads)
    if (auto done = set(fd, PACKET_VNET_HDR, &on, sizeof on, "learn of offloads"); !done)
      return done;
  const tpacket_req wanted{.tp_block_size = block_size,
                           .tp_block_nr = memory_size / block_size,
                           .tp_frame_size = frame_size,
                           .tp_frame_nr = frames};
  return set(fd, PACKET_RX_RING, &wanted, sizeof wanted, "get memory for a packet ring");
}

}  // namespace

void PacketRing::Unmap::operator()(std::byte* memory) const noexcept {
  ::munmap(memory, memory_size);
}

Result<PacketRing> PacketRing::open(const Source& source, std::span<const sock_filter> filter) {
  const bool offloads = source.device != 0;
  // Of no protocol before bind(). The kernel tells of offloads only with the link-layer header.
  Fd fd(::socket(AF_PACKET, (offloads ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("open a packet socket");
  if (auto ready = prepare(fd.get(), offloads, filter); !ready)
    return tl::unexpected(ready.error());
  void* memory = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return fail_errno("map a packet ring");
  PacketRing ring(std::move(fd), static_cast<std::byte*>(memory), offloads);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(source.protocol);
  name.sll_ifindex = source.device;
  if (::bind(ring.fd(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return fail_errno("receive from a packet socket");
  return ring;
}

std::byte* PacketRing::frame(std::size_t i) const noexcept {
  return memory_.get() + i % frames * frame_size;
}

std::optional<PacketRing::Packet> PacketRing::next() noexcept {
  auto* at = frame(next_);
  auto& header = header_of(at);
  const auto status = std::atomic_ref(header.tp_status).load(std::memory_order_acquire);
  if ((status & TP_STATUS_USER) == 0 || taken_ == frames) return std::nullopt;
  losing_ |= (status & TP_STATUS_LOSING) != 0;
  // Packets mostly are as long as the one before.
  fetch(frame(next_ + frames_ahead), header.tp_mac + header.tp_snaplen);
  ++next_;
  ++taken_;
  const std::size_t link_header = header.tp_net - header.tp_mac;  // snaplen counts it
  if (header.tp_snaplen < link_header) return Packet{};
  Packet packet{.bytes{at + header.tp_net, header.tp_snaplen - link_header}, .offload{}};
  if (offloads_)
    std::memcpy(&packet.offload, at + header.tp_mac - sizeof packet.offload, sizeof packet.offload);
  return packet;
}

void PacketRing::release() noexcept {
  for (; taken_ != 0; --taken_)
    std::atomic_ref(header_of(frame(next_ - taken_)).tp_status)
        .store(TP_STATUS_KERNEL, std::memory_order_release);
}

void PacketRing::forget_error() noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  (void)::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
}

std::uint64_t PacketRing::take_overruns() noexcept {
  if (!losing_) return 0;
  losing_ = false;
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  if (::getsockopt(fd(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0) return 0;
  return statistics.tp_drops;
}

}  // namespace warren
