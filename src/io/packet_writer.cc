// Writing with coalescing: packets are gathered by reference, and each super-packet that they make
// is handed over by one writev() with no copy of ours.
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include <warren/packet_io.h>

#include "offload/coalesce.h"

namespace warren {

class PacketWriter::Impl {
 public:
  Impl(int fd, const TunOffloads& offloads, Medium medium) : fd_(fd), header_(offloads.header) {
    if (offloads.checksum && (offloads.tso4 || offloads.tso6 || offloads.uso))
      coalescer_.emplace(offload::CoalesceOptions{
          .medium = medium, .tcp4 = offloads.tso4, .tcp6 = offloads.tso6, .udp = offloads.uso});
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { flush(); }

  void write(std::span<const std::byte> packet) noexcept {
    if (!coalescer_) return write_now(packet);
    if (coalescer_->held() < held_packets && coalescer_->add(packet, {})) return;
    flush();
    (void)coalescer_->add(packet, {});  // an empty coalescer takes any packet
  }

  void write(Packet packet) noexcept {
    if (!coalescer_) return write_now(packet.bytes());
    if (owned_[1].full()) flush();
    write(packet.bytes());
    owned_[owned_[0].full() ? 1 : 0].push(std::move(packet));
  }

  void write(Batch& batch) noexcept {
    for (std::size_t i = 0; i < batch.size(); ++i) write(batch.bytes(i));
    flush();
    batch.clear();
  }

  void flush() noexcept {
    if (!coalescer_) return;
    for (const auto& item : coalescer_->finish()) put(item.pieces_with_offload(), item.size);
    for (auto& batch : owned_) batch.clear();
  }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  /// Not all that the coalescer could hold: they are missing in the caller's pool.
  static constexpr std::size_t held_packets = 2 * Batch::capacity;

  void write_now(std::span<const std::byte> packet) noexcept {
    OffloadHeader none;
    // writev() does not write through the pointer that it takes without const.
    const std::array<iovec, 2> pieces{iovec{&none, sizeof none},
                                      iovec{const_cast<std::byte*>(packet.data()), packet.size()}};
    put(std::span(pieces).subspan(header_ ? 0 : 1), packet.size());
  }

  void put(std::span<const iovec> pieces, std::size_t size) noexcept {
    ssize_t count;
    do
      count = pieces.size() == 1 ? ::write(fd_, pieces[0].iov_base, pieces[0].iov_len)
                                 : ::writev(fd_, pieces.data(), static_cast<int>(pieces.size()));
    while (count < 0 && errno == EINTR);
    if (count < 0) return counters_.drop(DropReason::device_error);
    counters_.packets.add(1);
    counters_.bytes.add(size);
  }

  int fd_;
  bool header_;
  std::optional<offload::Coalescer> coalescer_;
  /// Packets that the coalescer refers to.
  std::array<Batch, held_packets / Batch::capacity> owned_;
  Counters counters_;
};

Result<PacketWriter> PacketWriter::create(const Tun& tun, std::size_t queue) {
  if (queue >= tun.queue_count())
    return fail(fmt::format("{} has no queue {}", tun.name(), queue), EINVAL);
  const auto medium = tun.mode() == TunMode::tap ? Medium::ethernet : Medium::ip;
  return PacketWriter{std::make_unique<Impl>(tun.fd(queue), tun.offloads(), medium)};
}

PacketWriter::PacketWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PacketWriter::PacketWriter(PacketWriter&&) noexcept = default;
PacketWriter& PacketWriter::operator=(PacketWriter&&) noexcept = default;
PacketWriter::~PacketWriter() = default;

void PacketWriter::write(std::span<const std::byte> packet) noexcept { impl_->write(packet); }
void PacketWriter::write(Packet packet) noexcept { impl_->write(std::move(packet)); }
void PacketWriter::write(Batch& batch) noexcept { impl_->write(batch); }
void PacketWriter::flush() noexcept { impl_->flush(); }
const Counters& PacketWriter::counters() const noexcept { return impl_->counters(); }

}  // namespace warren
