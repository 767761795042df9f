/// One thread's event loop: waits for devices, descriptors and timers, and runs what they are for
/// to completion. It is what `warren up` runs on, and the library's fastest way to use a TUN
/// device:
///
///     auto loop = Loop::create();                      // in the thread that runs it
///     auto in = (*loop)->open_stream({.fd = tun.fd(), .offload_header = tun.offloads().header,
///                                     .receiver = &receiver, …});   // receiver.on_packets(batch)
///     (*in)->write(batch);                             // super-packets go out whole
///     (*loop)->run();
///
/// Two backends stand behind this interface. io_uring reads with one outstanding request
/// (multishot, kernel 6.7) and writes a batch with one system call; epoll runs on every kernel
/// since 5.11. All methods but stop() belong to the thread that made the loop. Packets come from
/// pool() and must not outlive the loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <warren/batch.h>
#include <warren/counters.h>
#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

using Clock = std::chrono::steady_clock;

/// Takes what a PacketStream reads.
class PacketReceiver {
 public:
  virtual ~PacketReceiver() = default;
  /// Takes every packet, and leaves the batch empty.
  virtual void on_packets(Batch& batch) noexcept = 0;
  /// Everything that was ready has been delivered.
  virtual void on_burst_end() noexcept {}
  /// The device is gone, or reads fail for good; `error` is an errno value. The stream reads no
  /// more.
  virtual void on_stream_end(int error) noexcept = 0;
};

/// A descriptor that gives and takes one packet per read and write: a TUN or TAP queue. Destroying
/// it stops the reading.
class PacketStream {
 public:
  struct Config {
    int fd = -1;                  ///< non-blocking; stays open as long as the stream
    bool offload_header = false;  ///< an OffloadHeader stands before each packet
    PacketReceiver* receiver = nullptr;
    Counters* read_counters = nullptr;   ///< drops on the way in
    Counters* write_counters = nullptr;  ///< drops on the way out
  };

  virtual ~PacketStream() = default;
  /// Hands every packet to the kernel in order; what it refuses is counted.
  virtual void write(Batch& batch) noexcept = 0;
};

class Loop;

/// Calls back once at a set time. Destroying it disarms it.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> callback);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

  void set(Clock::time_point when) noexcept { when_ = when; }
  void cancel() noexcept { when_ = Clock::time_point::max(); }
  [[nodiscard]] Clock::time_point when() const noexcept { return when_; }

 private:
  friend class Loop;
  Loop& loop_;
  std::function<void()> callback_;
  Clock::time_point when_ = Clock::time_point::max();
};

class Loop {
 public:
  enum class Backend { automatic, io_uring, epoll };

  /// `automatic` takes io_uring where the kernel has multishot reads and permits them, and epoll
  /// elsewhere.
  [[nodiscard]] static Result<std::unique_ptr<Loop>> create(Backend wanted = Backend::automatic);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  virtual ~Loop() = default;

  /// "io_uring" or "epoll", as status shows it.
  [[nodiscard]] virtual std::string_view backend() const noexcept = 0;
  /// Why `automatic` did not take io_uring; empty where it did.
  [[nodiscard]] const std::string& fallback_reason() const noexcept { return fallback_reason_; }

  [[nodiscard]] virtual Result<std::unique_ptr<PacketStream>> open_stream(
      const PacketStream::Config& config) = 0;

  /// Calls `ready` while `fd` is readable, until the handle dies. For control sockets and signals,
  /// not for packets.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  [[nodiscard]] virtual Result<std::unique_ptr<Watch>> watch(int fd,
                                                             std::function<void()> ready) = 0;

  /// The buffers that streams read into; nodes may allocate from it too. Sized for super-packets.
  [[nodiscard]] Pool& pool() noexcept { return *pool_; }
  /// The time at which this round of the loop began.
  [[nodiscard]] Clock::time_point now() const noexcept { return now_; }

  /// Runs until stop(). Fails only where the kernel refuses to wait.
  [[nodiscard]] Result<> run();
  /// From any thread, or from a callback.
  void stop() noexcept;

 protected:
  Loop() = default;
  [[nodiscard]] Result<> init();
  /// What init() made; a backend calls it first in its destructor.
  void close() noexcept;
  /// Waits until something is ready or `deadline`, and handles all that is ready.
  [[nodiscard]] virtual Result<> round(Clock::time_point deadline) = 0;
  void renew_now() noexcept { now_ = Clock::now(); }

 private:
  friend class Timer;
  [[nodiscard]] Clock::time_point next_deadline() const noexcept;
  void run_timers();

  std::string fallback_reason_;
  std::unique_ptr<Pool> pool_;
  // A loop has a handful of timers: whoever has thousands of deadlines keeps them in order behind
  // one Timer.
  std::vector<Timer*> timers_;
  Clock::time_point now_ = Clock::now();
  Fd wake_;
  std::unique_ptr<Watch> wake_watch_;
  bool stopped_ = false;
};

}  // namespace warren
