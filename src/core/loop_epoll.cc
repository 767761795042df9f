// The epoll backend: level-triggered readiness, one system call per packet. Writes go to the kernel
// at once.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/loop_backends.h"

namespace warren {
namespace {

class Handler {
 public:
  virtual ~Handler() = default;
  virtual void ready() noexcept = 0;
};

class EpollLoop final : public Loop {
 public:
  explicit EpollLoop(Fd epoll) : epoll_(std::move(epoll)) {}
  ~EpollLoop() override { close(); }

  std::string_view backend() const noexcept override { return "epoll"; }
  Result<std::unique_ptr<PacketStream>> open_stream(const PacketStream::Config& config) override;
  Result<std::unique_ptr<Watch>> watch(int fd, std::function<void()> ready) override;

  Result<> add(int fd, Handler* handler) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = handler;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
      return fail_errno("watch a descriptor with epoll");
    return {};
  }
  // Events that this round has fetched for the handler are forgotten too.
  void remove(int fd, const Handler* handler) noexcept {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    for (auto& event : events_)
      if (event.data.ptr == handler) event.data.ptr = nullptr;
  }

 protected:
  Result<> round(Clock::time_point deadline) override;

 private:
  Fd epoll_;
  std::array<epoll_event, 32> events_{};
};

class EpollStream final : public PacketStream, public Handler {
 public:
  EpollStream(EpollLoop& loop, const Config& config) : loop_(loop), config_(config) {}
  ~EpollStream() override {
    if (reading_) loop_.remove(config_.fd, this);
  }
  Result<> start() {
    auto added = loop_.add(config_.fd, this);
    reading_ = added.has_value();
    return added;
  }

  void write(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      Packet packet = batch.take(i);
      write_packet(config_, packet);
    }
    batch.clear();
  }

  // Not until the device is empty: one that is never empty would keep everybody else waiting.
  void ready() noexcept override {
    constexpr int max_bursts = 4;
    for (int i = 0; i < max_bursts && reading_; ++i)
      if (!read_burst()) break;
    config_.receiver->on_burst_end();
  }

 private:
  // A burst is short, so that what was read is still in the cache when it is written. True where
  // more may be ready.
  bool read_burst() noexcept {
    constexpr std::size_t burst = 8;
    Batch batch;
    while (batch.size() < burst) {
      Packet packet = loop_.pool().allocate();
      if (!packet) break;
      const std::size_t header = config_.offload_header ? sizeof(OffloadHeader) : 0;
      const auto count =
          ::read(config_.fd, packet.data() - header, Pool::super_packet_size + header);
      if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) end(errno);
        break;
      }
      if (!finish_read(config_, packet, static_cast<std::size_t>(count))) continue;
      batch.push(std::move(packet));
    }
    const bool full = batch.size() == burst;
    if (!batch.empty()) config_.receiver->on_packets(batch);
    return full;
  }

  void end(int error) noexcept {
    loop_.remove(config_.fd, this);
    reading_ = false;
    config_.receiver->on_stream_end(error);
  }

  EpollLoop& loop_;
  Config config_;
  bool reading_ = false;
};

class EpollWatch final : public Loop::Watch, public Handler {
 public:
  EpollWatch(EpollLoop& loop, int fd, std::function<void()> callback)
      : loop_(loop), fd_(fd), callback_(std::move(callback)) {}
  ~EpollWatch() override { loop_.remove(fd_, this); }
  void ready() noexcept override {
    const auto callback = callback_;  // it may destroy this watch
    callback();
  }

 private:
  EpollLoop& loop_;
  int fd_;
  std::function<void()> callback_;
};

Result<std::unique_ptr<PacketStream>> EpollLoop::open_stream(const PacketStream::Config& config) {
  auto stream = std::make_unique<EpollStream>(*this, config);
  if (auto started = stream->start(); !started) return tl::unexpected(started.error());
  return stream;
}

Result<std::unique_ptr<Loop::Watch>> EpollLoop::watch(int fd, std::function<void()> ready) {
  auto watch = std::make_unique<EpollWatch>(*this, fd, std::move(ready));
  if (auto added = add(fd, watch.get()); !added) return tl::unexpected(added.error());
  return watch;
}

Result<> EpollLoop::round(Clock::time_point deadline) {
  timespec timeout{};
  const timespec* wait = nullptr;
  if (deadline != Clock::time_point::max()) {
    timeout = until(deadline);
    wait = &timeout;
  }
  const int count =
      ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()), wait, nullptr);
  if (count < 0 && errno != EINTR) return fail_errno("wait with epoll");
  renew_now();
  for (int i = 0; i < count; ++i)
    if (auto* handler = static_cast<Handler*>(events_[static_cast<std::size_t>(i)].data.ptr))
      handler->ready();
  return {};
}

}  // namespace

Result<std::unique_ptr<Loop>> create_epoll_loop() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("make an epoll descriptor");
  return std::unique_ptr<Loop>(std::make_unique<EpollLoop>(std::move(epoll)));
}

}  // namespace warren
