#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

#include <warren/pass_through.h>

namespace warren {

Result<PassThroughReader> PassThroughReader::create(const Tun& tun, Pool& pool, std::size_t queue) {
  if (queue >= tun.queue_count())
    return fail(fmt::format("{} has no queue {}", tun.name(), queue), EINVAL);
  if (tun.offloads().header && pool.packet_size() < Pool::super_packet_size)
    return fail(fmt::format("{}: super-packets need packets of {} bytes, the pool has {}",
                            tun.name(), Pool::super_packet_size, pool.packet_size()),
                EINVAL);
  auto waiter = Waiter::create();
  if (!waiter) return tl::unexpected(waiter.error());
  return PassThroughReader{tun.fd(queue), tun.offloads().header, pool, std::move(*waiter)};
}

ReadStatus PassThroughReader::read(Packet& packet, Waiter::Timeout timeout) noexcept {
  return read_or_wait<ReadStatus>(waiter_, fd_, timeout, [&] { return try_read(packet); });
}

ReadStatus PassThroughReader::try_read(Packet& packet) noexcept {
  packet = Packet{};
  packet = pool_->allocate();
  if (!packet) return ReadStatus::no_buffer;
  // The kernel cuts off what does not fit without a word; this byte shows that it did.
  std::byte beyond;
  const std::size_t header_size = header_ ? sizeof(OffloadHeader) : 0;
  const std::array<iovec, 3> pieces{iovec{&packet.offload(), header_size},
                                    iovec{packet.data(), packet.tailroom()}, iovec{&beyond, 1}};
  for (;;) {
    const auto count = ::readv(fd_, pieces.data(), pieces.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return ReadStatus::empty;
      error_ = errno;
      return ReadStatus::failed;
    }
    const auto size = static_cast<std::size_t>(count) - header_size;
    if (static_cast<std::size_t>(count) < header_size || size > packet.tailroom()) {
      counters_->drop(size > packet.tailroom() ? DropReason::too_big : DropReason::malformed);
      continue;
    }
    packet.resize(size);
    counters_->packets.add(1);
    counters_->bytes.add(size);
    return ReadStatus::packet;
  }
}

Result<PassThroughWriter> PassThroughWriter::create(const Tun& tun, std::size_t queue) {
  if (queue >= tun.queue_count())
    return fail(fmt::format("{} has no queue {}", tun.name(), queue), EINVAL);
  return PassThroughWriter{tun.fd(queue), tun.offloads().header};
}

void PassThroughWriter::write(const Packet& packet) noexcept {
  if (!header_ && !packet.offload().complete()) return counters_->drop(DropReason::bad_offload);
  const std::array<iovec, 2> pieces{
      iovec{&packet.offload(), header_ ? sizeof(OffloadHeader) : std::size_t{0}},
      iovec{packet.data(), packet.size()}};
  ssize_t count;
  do count = ::writev(fd_, pieces.data(), pieces.size());
  while (count < 0 && errno == EINTR);
  if (count < 0) return counters_->drop(DropReason::device_error);
  counters_->packets.add(1);
  counters_->bytes.add(packet.size());
}

}  // namespace warren
