// The io_uring backend.
//
// Theory of operation. Each stream keeps one multishot read outstanding: the kernel polls the device, reads packets
// into buffers of the loop's buffer ring as they come, and posts a completion for each, so that a burst of packets
// costs no system call beyond the one that waits. A buffer that was filled leaves the ring as a Packet; at the end of
// the round fresh ones from the pool take the empty places. A read that finds the ring dry ends with ENOBUFS and is
// issued again.
//
//     buffer ring, for all streams   [ buf 0 | buf 1 | … | buf 31 ]   kernel takes from the head, we add at the tail
//                                        |
//     completion {stream, id 0, n bytes} -> Packet -> batch -> receiver
//
// Writes are queued for a whole batch and submitted at once, with RWF_NOWAIT: the kernel takes or refuses each
// packet while it is submitted, so the buffers are free when the submission returns. Only refusals post a completion.
//
// Streams and watches die in the middle of a round, while completions for them are still to come. Their destructors
// cancel what is outstanding and reap until the kernel has confirmed it; completions for others that turn up meanwhile
// are kept for the round that runs. So a Source in a completion is always alive.
#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <sys/uio.h>

#include <deque>

#include "core/buffer_ring.h"
#include "core/loop_backends.h"

namespace warren {
namespace {

// IORING_OP_READ_MULTISHOT, kernel 6.7; liburing 2.3 does not know it.
constexpr unsigned op_read_multishot = 49;
constexpr unsigned ring_entries = 256;
constexpr std::size_t burst = 8;  // packets that are passed on at once

struct Completion {
  int result;
  unsigned flags;
};

/// Something that has requests in flight. Its address is their user_data; the lowest bit marks a
/// refused write, which was not counted as in flight.
class Source {
 public:
  virtual ~Source() = default;
  virtual void complete(const Completion& completion) noexcept = 0;
  virtual void refused(int /*error*/) noexcept {}
  unsigned in_flight = 0;
};
constexpr std::uint64_t write_mark = 1;

class UringLoop final : public Loop {
 public:
  ~UringLoop() override {
    if (buffers_.is_open()) buffers_.close(ring_);
    close();
    if (ready_) ::io_uring_queue_exit(&ring_);
  }
  Result<> open_ring();

  std::string_view backend() const noexcept override { return "io_uring"; }
  Result<std::unique_ptr<PacketStream>> open_stream(const PacketStream::Config& config) override;
  Result<std::unique_ptr<Watch>> watch(int fd, std::function<void()> ready) override;

  io_uring& ring() noexcept { return ring_; }
  io_uring_sqe* request(Source* source) noexcept;
  void submit() noexcept { ::io_uring_submit(&ring_); }
  /// Cancels all requests of a source, and returns when the kernel has let go of them.
  void cancel(Source* source) noexcept;
  Packet take_buffer(unsigned id) noexcept { return buffers_.take(id); }

  std::vector<class UringStream*> streams;

 protected:
  Result<> round(Clock::time_point deadline) override;

 private:
  struct Pending {
    Source* source;
    bool write;
    Completion completion;
  };
  bool take_completion(Pending& pending) noexcept;
  static void deliver(const Pending& pending) noexcept;

  io_uring ring_{};
  bool ready_ = false;
  BufferRing buffers_;
  std::deque<Pending> set_aside_;
};

class UringStream final : public PacketStream, public Source {
 public:
  UringStream(UringLoop& loop, const Config& config) : loop_(loop), config_(config) {}
  ~UringStream() override {
    std::erase(loop_.streams, this);
    stopping_ = true;
    loop_.cancel(this);
  }

  void write(Batch& batch) noexcept override;
  void complete(const Completion& completion) noexcept override;
  void refused(int error) noexcept override { count_refusal(config_, error); }
  /// Passes on what is left of the round.
  void end_round() noexcept;
  /// Issues the read anew where it has ended.
  void rearm() noexcept;

 private:
  void deliver() noexcept {
    if (!batch_.empty()) config_.receiver->on_packets(batch_);
  }

  UringLoop& loop_;
  Config config_;
  bool armed_ = false;
  bool ended_ = false;
  bool stopping_ = false;
  bool active_ = false;  // delivered something in this round
  Batch batch_;
};

void UringStream::write(Batch& batch) noexcept {
  // A single packet is cheaper to write than to queue, and nothing is queued from one batch to the
  // next.
  if (batch.size() == 1) {
    Packet packet = batch.take(0);
    write_packet(config_, packet);
    return batch.clear();
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Packet packet = batch.take(i);
    const auto bytes = with_header(config_, packet);
    batch.put(i, std::move(packet));
    auto* sqe = loop_.request(nullptr);
    if (sqe == nullptr) {
      config_.write_counters->drop(DropReason::queue_full);
      continue;
    }
    ::io_uring_prep_write(sqe, config_.fd, bytes.data(), static_cast<unsigned>(bytes.size()), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->rw_flags =
        RWF_NOWAIT;  // refuse rather than wait: O_NONBLOCK alone would make io_uring poll and retry
    ::io_uring_sqe_set_data64(
        sqe, reinterpret_cast<std::uintptr_t>(static_cast<Source*>(this)) | write_mark);
  }
  loop_.submit();
  batch.clear();
}

void UringStream::complete(const Completion& completion) noexcept {
  if ((completion.flags & IORING_CQE_F_MORE) == 0) armed_ = false;
  Packet packet;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0)
    packet = loop_.take_buffer(completion.flags >> IORING_CQE_BUFFER_SHIFT);
  if (stopping_) return;
  const int error = -completion.result;
  if (packet && error <= 0) {
    active_ = true;
    if (!config_.offload_header) packet.prepend(sizeof(OffloadHeader));
    if (!finish_read(config_, packet, static_cast<std::size_t>(completion.result))) return;
    batch_.push(std::move(packet));
    // Passed on while it is warm in the cache.
    if (batch_.size() >= burst) deliver();
  } else if (error > 0 && error != ENOBUFS && error != EAGAIN && error != EINTR) {
    ended_ = true;
    config_.receiver->on_stream_end(error);
  }
}

void UringStream::end_round() noexcept {
  if (!active_) return;
  deliver();
  config_.receiver->on_burst_end();
  active_ = false;
}

void UringStream::rearm() noexcept {
  if (armed_ || ended_) return;
  auto* sqe = loop_.request(this);
  if (sqe == nullptr) return;
  ::io_uring_prep_rw(static_cast<int>(op_read_multishot), sqe, config_.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = BufferRing::group;
  ::io_uring_sqe_set_data(sqe, static_cast<Source*>(this));
  armed_ = true;
}

// A one-shot poll that is issued again after each call: level-triggered, as the callers expect.
class UringWatch final : public Loop::Watch, public Source {
 public:
  UringWatch(UringLoop& loop, int fd, std::function<void()> callback)
      : loop_(loop), fd_(fd), callback_(std::move(callback)) {}
  ~UringWatch() override {
    if (alive_ != nullptr) *alive_ = false;
    stopping_ = true;
    loop_.cancel(this);
  }
  bool arm() noexcept {
    auto* sqe = loop_.request(this);
    if (sqe == nullptr) return false;
    ::io_uring_prep_poll_add(sqe, fd_, POLLIN);
    ::io_uring_sqe_set_data(sqe, static_cast<Source*>(this));
    return true;
  }
  void complete(const Completion&) noexcept override {
    if (stopping_) return;
    bool alive = true;  // the callback may destroy this watch
    alive_ = &alive;
    const auto callback = callback_;
    callback();
    if (!alive) return;
    alive_ = nullptr;
    arm();
  }

 private:
  UringLoop& loop_;
  int fd_;
  std::function<void()> callback_;
  bool stopping_ = false;
  bool* alive_ = nullptr;
};

Result<> UringLoop::open_ring() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (const int error = ::io_uring_queue_init_params(ring_entries, &ring_, &params); error < 0) {
    if (error == -EINVAL) return fail("io_uring here is older than kernel 6.1", EINVAL);
    return fail_errno("set up io_uring (is kernel.io_uring_disabled set?)", -error);
  }
  ready_ = true;
  auto* probe = ::io_uring_get_probe_ring(&ring_);
  const bool multishot = probe != nullptr && probe->last_op >= op_read_multishot;
  ::io_uring_free_probe(probe);
  if (!multishot) return fail("io_uring here lacks multishot reads (kernel 6.7)");
  return {};
}

io_uring_sqe* UringLoop::request(Source* source) noexcept {
  auto* sqe = ::io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    ::io_uring_submit(&ring_);
    sqe = ::io_uring_get_sqe(&ring_);
  }
  if (sqe != nullptr && source != nullptr) ++source->in_flight;
  return sqe;
}

void UringLoop::cancel(Source* source) noexcept {
  if (source->in_flight > 0) {
    if (auto* sqe = request(nullptr)) {
      ::io_uring_prep_cancel(sqe, source, IORING_ASYNC_CANCEL_ALL);
      ::io_uring_sqe_set_data(sqe, nullptr);
    }
  }
  auto for_source = [source](const Pending& pending) {
    if (pending.source != source) return false;
    deliver(pending);
    return true;
  };
  std::erase_if(set_aside_, for_source);
  // Refused writes are not in flight, but their completions wait in the queue as well: it is
  // emptied to the end.
  Pending pending;
  for (;;) {
    if (take_completion(pending)) {
      if (!for_source(pending)) set_aside_.push_back(pending);
    } else if (source->in_flight > 0) {
      ::io_uring_submit_and_wait(&ring_, 1);
    } else {
      return;
    }
  }
}

void UringLoop::deliver(const Pending& pending) noexcept {
  if (pending.source == nullptr) return;
  if (pending.write) return pending.source->refused(-pending.completion.result);
  if ((pending.completion.flags & IORING_CQE_F_MORE) == 0) --pending.source->in_flight;
  pending.source->complete(pending.completion);
}

bool UringLoop::take_completion(Pending& pending) noexcept {
  io_uring_cqe* cqe = nullptr;
  if (::io_uring_peek_cqe(&ring_, &cqe) != 0 || cqe == nullptr) return false;
  pending.source =
      reinterpret_cast<Source*>(static_cast<std::uintptr_t>(cqe->user_data & ~write_mark));
  pending.write = (cqe->user_data & write_mark) != 0;
  pending.completion = {cqe->res, cqe->flags};
  ::io_uring_cqe_seen(&ring_, cqe);
  return true;
}

Result<std::unique_ptr<PacketStream>> UringLoop::open_stream(const PacketStream::Config& config) {
  if (!buffers_.is_open()) {
    if (auto opened = buffers_.open(ring_); !opened) return tl::unexpected(opened.error());
    buffers_.refill(pool());
  }
  auto stream = std::make_unique<UringStream>(*this, config);
  stream->rearm();
  streams.push_back(stream.get());
  return stream;
}

Result<std::unique_ptr<Loop::Watch>> UringLoop::watch(int fd, std::function<void()> ready) {
  auto watch = std::make_unique<UringWatch>(*this, fd, std::move(ready));
  if (!watch->arm()) return fail("watch a descriptor with io_uring: the submission queue is full");
  return watch;
}

Result<> UringLoop::round(Clock::time_point deadline) {
  // Where others hold all packets of the pool, nothing tells when one comes back.
  if (buffers_.dry()) deadline = std::min(deadline, Clock::now() + std::chrono::milliseconds(1));
  __kernel_timespec timeout{};
  __kernel_timespec* wait = nullptr;
  if (deadline != Clock::time_point::max()) {
    const auto left = until(deadline);
    timeout = {left.tv_sec, left.tv_nsec};
    wait = &timeout;
  }
  io_uring_cqe* first = nullptr;
  const int error =
      ::io_uring_submit_and_wait_timeout(&ring_, &first, set_aside_.empty() ? 1 : 0, wait, nullptr);
  if (error < 0 && error != -ETIME && error != -EINTR && error != -EAGAIN)
    return fail_errno("wait with io_uring", -error);
  renew_now();
  Pending pending;
  while (!set_aside_.empty()) {
    pending = set_aside_.front();
    set_aside_.pop_front();
    deliver(pending);
  }
  while (take_completion(pending)) deliver(pending);
  for (auto* stream : streams) stream->end_round();
  if (buffers_.is_open()) buffers_.refill(pool());
  if (!buffers_.dry())
    for (auto* stream : streams) stream->rearm();
  return {};
}

}  // namespace

Result<std::unique_ptr<Loop>> create_uring_loop() {
  auto loop = std::make_unique<UringLoop>();
  if (auto opened = loop->open_ring(); !opened) return tl::unexpected(opened.error());
  return std::unique_ptr<Loop>(std::move(loop));
}

}  // namespace warren
