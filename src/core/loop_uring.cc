// The io_uring backend.
//
// Theory of operation. Each stream keeps one multishot read outstanding: the kernel polls the
// device, reads packets into buffers of the stream's buffer ring as they come, and posts a
// completion for each, so that a burst of packets costs no system call beyond the one that waits. A
// buffer that was filled leaves the ring as a Packet and a fresh one from the pool takes its place;
// when the ring runs dry the read ends with ENOBUFS and is issued again at the end of the round.
//
//     buffer ring of a stream   [ buf 0 | buf 1 | … | buf 15 ]      kernel takes from the head, we
//     add at the tail
//                                   |
//     completion {id 0, n bytes} -> Packet -> batch -> receiver
//
// Writes are queued for a whole batch and submitted at once. A TUN device takes or refuses a packet
// while it is submitted and never waits (the descriptor is non-blocking), so the buffers are free
// when the submission returns; only refusals post a completion.
//
// Streams and watches die in the middle of a round, while completions for them are still to come.
// Their destructors cancel what is outstanding and reap until the kernel has confirmed it;
// completions for others that turn up meanwhile are kept for the round that runs. So a Source in a
// completion is always alive.
#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <array>
#include <deque>

#include "core/loop_backends.h"

namespace warren {
namespace {

constexpr unsigned op_read_multishot =
    49;  // IORING_OP_READ_MULTISHOT, kernel 6.7; liburing 2.3 does not know it
constexpr unsigned ring_entries = 256;
constexpr unsigned stream_buffers = 16;

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
  unsigned short new_buffer_group() noexcept { return next_group_++; }

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
  unsigned short next_group_ = 0;
  std::deque<Pending> set_aside_;
};

class UringStream final : public PacketStream, public Source {
 public:
  UringStream(UringLoop& loop, const Config& config) : loop_(loop), config_(config) {}
  ~UringStream() override {
    std::erase(loop_.streams, this);
    stopping_ = true;
    loop_.cancel(this);
    if (buffers_ == nullptr) return;
    ::io_uring_unregister_buf_ring(&loop_.ring(), group_);
    ::munmap(buffers_, ring_bytes);
  }
  Result<> start();

  void write(Batch& batch) noexcept override;
  void complete(const Completion& completion) noexcept override;
  void refused(int error) noexcept override { count_refusal(config_, error); }
  void end_round() noexcept;

 private:
  static constexpr std::size_t ring_bytes = 4096;
  static_assert(stream_buffers * sizeof(io_uring_buf) <= ring_bytes);

  [[nodiscard]] std::size_t header_size() const noexcept {
    return config_.offload_header ? sizeof(OffloadHeader) : 0;
  }
  void take_packet(unsigned id, std::size_t count) noexcept;
  void deliver() noexcept {
    if (!batch_.empty()) config_.receiver->on_packets(batch_);
  }
  void refill() noexcept;
  void arm() noexcept;

  UringLoop& loop_;
  Config config_;
  io_uring_buf_ring* buffers_ = nullptr;
  unsigned short group_ = 0;
  std::array<Packet, stream_buffers> lent_;  // what the kernel may write into, by buffer id
  std::array<std::uint8_t, stream_buffers> empty_ids_;
  unsigned empty_count_ = 0;
  bool armed_ = false;
  bool ended_ = false;
  bool stopping_ = false;
  bool active_ = false;  // delivered something in this round
  Batch batch_;
};

Result<> UringStream::start() {
  void* memory =
      ::mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("map a buffer ring");
  buffers_ = static_cast<io_uring_buf_ring*>(memory);
  group_ = loop_.new_buffer_group();
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
  registration.ring_entries = stream_buffers;
  registration.bgid = group_;
  if (const int error = ::io_uring_register_buf_ring(&loop_.ring(), &registration, 0); error < 0) {
    ::munmap(std::exchange(buffers_, nullptr), ring_bytes);
    return fail_errno("register a buffer ring with io_uring", -error);
  }
  ::io_uring_buf_ring_init(buffers_);
  for (unsigned id = 0; id < stream_buffers; ++id)
    empty_ids_[empty_count_++] = static_cast<std::uint8_t>(id);
  refill();
  arm();
  loop_.streams.push_back(this);
  return {};
}

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
  if (stopping_) return;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0 && completion.result >= 0) {
    take_packet(completion.flags >> IORING_CQE_BUFFER_SHIFT,
                static_cast<std::size_t>(completion.result));
  } else if (completion.result < 0 && completion.result != -ENOBUFS &&
             completion.result != -EAGAIN && completion.result != -EINTR) {
    ended_ = true;
    config_.receiver->on_stream_end(-completion.result);
  }
}

void UringStream::take_packet(unsigned id, std::size_t count) noexcept {
  active_ = true;
  Packet packet = std::move(lent_[id]);
  empty_ids_[empty_count_++] = static_cast<std::uint8_t>(id);
  if (!finish_read(config_, packet, count)) return;
  batch_.push(std::move(packet));
  // Passed on while it is warm in the cache.
  if (batch_.size() >= stream_buffers / 2) deliver();
}

void UringStream::end_round() noexcept {
  if (active_) {
    deliver();
    config_.receiver->on_burst_end();
    active_ = false;
  }
  if (ended_) return;
  refill();
  if (!armed_ && empty_count_ < stream_buffers) arm();
}

void UringStream::refill() noexcept {
  int added = 0;
  while (empty_count_ > 0) {
    Packet packet = loop_.pool().allocate();
    if (!packet) break;
    const unsigned id = empty_ids_[--empty_count_];
    ::io_uring_buf_ring_add(buffers_, packet.data() - header_size(),
                            static_cast<unsigned>(Pool::super_packet_size + header_size()),
                            static_cast<unsigned short>(id), stream_buffers - 1, added++);
    lent_[id] = std::move(packet);
  }
  ::io_uring_buf_ring_advance(buffers_, added);
}

void UringStream::arm() noexcept {
  auto* sqe = loop_.request(this);
  if (sqe == nullptr) return;
  ::io_uring_prep_rw(static_cast<int>(op_read_multishot), sqe, config_.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = group_;
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
  auto stream = std::make_unique<UringStream>(*this, config);
  if (auto started = stream->start(); !started) return tl::unexpected(started.error());
  return stream;
}

Result<std::unique_ptr<Loop::Watch>> UringLoop::watch(int fd, std::function<void()> ready) {
  auto watch = std::make_unique<UringWatch>(*this, fd, std::move(ready));
  if (!watch->arm()) return fail("watch a descriptor with io_uring: the submission queue is full");
  return watch;
}

Result<> UringLoop::round(Clock::time_point deadline) {
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
  return {};
}

}  // namespace

Result<std::unique_ptr<Loop>> create_uring_loop() {
  auto loop = std::make_unique<UringLoop>();
  if (auto opened = loop->open_ring(); !opened) return tl::unexpected(opened.error());
  return std::unique_ptr<Loop>(std::move(loop));
}

}  // namespace warren
