// Reading with segmentation. Theory of operation:
//
//     | OffloadHeader | headers | payload 0 | payload 1 | …     super_: one read() fills it
//                        |          |            |
//                        v          v            v   copied and summed in one pass, one by one,
//     | headers 0 | payload 0 |   | headers 1 | payload 1 | …   segments_, or pooled packets
//
// Segments are made when they are asked for, so that each is still in the first-level cache when
// the program sees it. Those of one super-packet lie side by side and not in one place, because the
// writer refers to all of them until it has coalesced them.
#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include <warren/packet_io.h>

#include "offload/segment.h"

namespace warren {

namespace {
/// The segments of the largest super-packet in the smallest pieces (8 bytes of TCP) fit; untouched
/// pages take no memory.
constexpr std::size_t segments_size = std::size_t{1} << 20;
}  // namespace

class PacketReader::Impl {
 public:
  Impl(int fd, bool header, Medium medium)
      : fd_(fd),
        header_size_(header ? sizeof(OffloadHeader) : 0),
        medium_(medium),
        super_(std::make_unique_for_overwrite<std::byte[]>(sizeof(OffloadHeader) +
                                                           Pool::super_packet_size)),
        segments_(header ? std::make_unique_for_overwrite<std::byte[]>(segments_size) : nullptr) {}

  ReadStatus read(std::span<std::byte>& packet) noexcept {
    for (;;) {
      if (const auto status = fill(); status != ReadStatus::packet) return status;
      if (!plan_) {
        pending_ = 0;
        packet = whole_;
        return count(packet.size());
      }
      const auto size = plan_->segment_size(next_);
      if (used_ + size > segments_size) {
        drop_rest(DropReason::too_big);
        continue;
      }
      std::byte* out = segments_.get() + used_;
      plan_->write_segment(next_++, out);
      used_ += size;
      --pending_;
      packet = {out, size};
      return count(size);
    }
  }

  ReadStatus read(Pool& pool, Packet& packet) noexcept {
    packet = Packet{};
    for (;;) {
      if (!packet) packet = pool.allocate();
      if (!packet) return ReadStatus::no_buffer;
      const auto status = header_size_ == 0 ? read_directly(packet) : fill();
      if (status != ReadStatus::packet) packet = Packet{};
      if (status != ReadStatus::packet || header_size_ == 0) return status;
      const auto size = plan_ ? plan_->segment_size(next_) : whole_.size();
      if (size > packet.tailroom()) {
        drop_rest(DropReason::too_big);
        continue;
      }
      packet.resize(size);
      if (plan_) {
        plan_->write_segment(next_++, packet.data());
      } else {
        std::memcpy(packet.data(), whole_.data(), size);
      }
      --pending_;
      return count(size);
    }
  }

  ReadStatus read(Pool& pool, Batch& batch) noexcept {
    auto status = ReadStatus::packet;
    while (!batch.full() && status == ReadStatus::packet) {
      if (header_size_ > 0) {
        status = fill();
        const auto room = Batch::capacity - batch.size();
        if (status != ReadStatus::packet || (pending_ > room && !batch.empty())) break;
      }
      Packet packet;
      status = read(pool, packet);
      if (status == ReadStatus::packet) batch.push(std::move(packet));
      while (status == ReadStatus::packet && pending_ > 0 && !batch.full()) {
        status = read(pool, packet);
        if (status == ReadStatus::packet) batch.push(std::move(packet));
      }
    }
    return batch.empty() ? status : ReadStatus::packet;
  }

  [[nodiscard]] std::size_t buffered() const noexcept { return pending_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  ReadStatus count(std::size_t size) noexcept {
    counters_.packets.add(1);
    counters_.bytes.add(size);
    return ReadStatus::packet;
  }
  void drop_rest(DropReason reason) noexcept {
    counters_.drop(reason, pending_);
    pending_ = 0;
  }
  ReadStatus fail_read() noexcept {
    if (errno == EAGAIN) return ReadStatus::empty;
    error_ = errno;
    return ReadStatus::failed;
  }

  /// Makes sure that a packet is at hand: pending_ > 0.
  ReadStatus fill() noexcept {
    while (pending_ == 0) {
      const auto size = ::read(fd_, super_.get(), header_size_ + Pool::super_packet_size);
      if (size < 0) {
        if (errno == EINTR) continue;
        return fail_read();
      }
      if (const auto reason = prepare(static_cast<std::size_t>(size))) counters_.drop(*reason);
    }
    return ReadStatus::packet;
  }

  /// What to do with the packet that was read; the reason where it has to be dropped.
  std::optional<DropReason> prepare(std::size_t size) noexcept {
    plan_.reset();
    next_ = used_ = 0;
    if (size < header_size_) return DropReason::malformed;
    whole_ = {super_.get() + header_size_, size - header_size_};
    OffloadHeader offload;
    if (header_size_ > 0) std::memcpy(&offload, super_.get(), sizeof offload);
    pending_ = 1;
    if (offload.complete()) return {};
    if (offload.is_super_packet()) {
      const auto plan = offload::SegmentPlan::make(whole_, offload, medium_);
      pending_ = plan ? plan->count() : 0;
      if (!plan) return plan.error();
      plan_ = *plan;
      return {};
    }
    const auto completed = offload::complete_checksum(whole_, offload, medium_);
    if (completed) return {};
    pending_ = 0;
    return completed.error();
  }

  /// Without offload there is nothing to look at: straight into the pooled packet.
  ReadStatus read_directly(Packet& packet) noexcept {
    // The kernel cuts off what does not fit without a word; this byte shows that it did.
    std::byte beyond;
    const std::array<iovec, 2> pieces{iovec{packet.data(), packet.tailroom()}, iovec{&beyond, 1}};
    for (;;) {
      const auto size = ::readv(fd_, pieces.data(), pieces.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail_read();
      if (static_cast<std::size_t>(size) <= packet.tailroom()) {
        packet.resize(static_cast<std::size_t>(size));
        return count(packet.size());
      }
      counters_.drop(DropReason::too_big);
    }
  }

  int fd_;
  std::size_t header_size_;
  Medium medium_;
  int error_ = 0;
  std::unique_ptr<std::byte[]> super_;
  std::unique_ptr<std::byte[]> segments_;
  std::span<std::byte> whole_;  ///< the packet in super_
  std::optional<offload::SegmentPlan> plan_;
  std::size_t next_ = 0;     ///< segment
  std::size_t used_ = 0;     ///< bytes of segments_
  std::size_t pending_ = 0;  ///< packets that need no system call
  Counters counters_;
};

Result<PacketReader> PacketReader::create(const Tun& tun, std::size_t queue) {
  if (queue >= tun.queue_count())
    return fail(fmt::format("{} has no queue {}", tun.name(), queue), EINVAL);
  const auto medium = tun.mode() == TunMode::tap ? Medium::ethernet : Medium::ip;
  return PacketReader{std::make_unique<Impl>(tun.fd(queue), tun.offloads().header, medium)};
}

PacketReader::PacketReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PacketReader::PacketReader(PacketReader&&) noexcept = default;
PacketReader& PacketReader::operator=(PacketReader&&) noexcept = default;
PacketReader::~PacketReader() = default;

ReadStatus PacketReader::read(std::span<std::byte>& packet) noexcept { return impl_->read(packet); }
ReadStatus PacketReader::read(Pool& pool, Packet& packet) noexcept {
  return impl_->read(pool, packet);
}
ReadStatus PacketReader::read(Pool& pool, Batch& batch) noexcept {
  return impl_->read(pool, batch);
}
std::size_t PacketReader::buffered() const noexcept { return impl_->buffered(); }
const Counters& PacketReader::counters() const noexcept { return impl_->counters(); }
int PacketReader::error() const noexcept { return impl_->error(); }
int PacketReader::fd() const noexcept { return impl_->fd(); }

}  // namespace warren
