#include "io/packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>

namespace warren {
namespace {

constexpr std::size_t frame_size = 2048;
constexpr std::size_t frames = PacketRing::capacity;
constexpr std::size_t block_size = 1U << 16;
constexpr std::size_t memory_size = frames * frame_size;
static_assert(TPACKET2_HDRLEN + TPACKET_ALIGNMENT * 2 + PacketRing::max_packet <= frame_size);

tpacket2_hdr& header_of(std::byte* frame) { return *reinterpret_cast<tpacket2_hdr*>(frame); }

Result<> set(int fd, int option, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_PACKET, option, value, size) != 0) return fail_errno(what);
  return {};
}

Result<> prepare(int fd, std::span<const sock_filter> filter) {
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};  // the kernel only reads
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    return fail_errno("attach a filter to a packet socket");
  const int version = TPACKET_V2;
  if (auto done = set(fd, PACKET_VERSION, &version, sizeof version, "choose a packet ring"); !done)
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

Result<PacketRing> PacketRing::open(std::uint16_t protocol, std::span<const sock_filter> filter) {
  Fd fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));  // of no protocol before bind()
  if (!fd) return fail_errno("open a packet socket");
  if (auto ready = prepare(fd.get(), filter); !ready) return tl::unexpected(ready.error());
  void* memory = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return fail_errno("map a packet ring");
  PacketRing ring(std::move(fd), static_cast<std::byte*>(memory));
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(protocol);
  if (::bind(ring.fd(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return fail_errno("receive from a packet socket");
  return ring;
}

std::byte* PacketRing::frame(std::size_t i) const noexcept {
  return memory_.get() + i % frames * frame_size;
}

std::optional<std::span<std::byte>> PacketRing::next() noexcept {
  auto* at = frame(next_);
  auto& header = header_of(at);
  const auto status = std::atomic_ref(header.tp_status).load(std::memory_order_acquire);
  if ((status & TP_STATUS_USER) == 0 || taken_ == frames) return std::nullopt;
  losing_ |= (status & TP_STATUS_LOSING) != 0;
  ++next_;
  ++taken_;
  return std::span(at + header.tp_net, header.tp_snaplen);
}

void PacketRing::release() noexcept {
  for (; taken_ != 0; --taken_)
    std::atomic_ref(header_of(frame(next_ - taken_)).tp_status)
        .store(TP_STATUS_KERNEL, std::memory_order_release);
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
