/// The pass-through mode: one packet per call as the kernel has it, super-packets whole, with what
/// is left to do to them in Packet::offload(). The fastest mode: nothing is segmented or summed.
///
///     Packet packet;
///     while (in.read(packet) == ReadStatus::packet) out.write(packet);
///
/// Works without offload as well; then every packet is complete. Ownership: the Tun and the pool
/// outlive reader and writer. Threads: each is for one thread; interrupt() is for any.
#pragma once

#include <warren/packet_io.h>
#include <warren/wait.h>

namespace warren {

class PassThroughReader {
 public:
  /// The pool's packets hold at least Pool::super_packet_size bytes where the device has offload.
  [[nodiscard]] static Result<PassThroughReader> create(const Tun& tun, Pool& pool,
                                                        std::size_t queue = 0);

  /// Waits for the next packet. A packet that is handed in is freed or used again.
  [[nodiscard]] ReadStatus read(Packet& packet, Waiter::Timeout timeout = Waiter::forever) noexcept;
  /// The next packet, or ReadStatus::empty at once: for a thread that waits for several devices.
  [[nodiscard]] ReadStatus try_read(Packet& packet) noexcept;
  void interrupt() noexcept { waiter_.interrupt(); }
  void reset() noexcept { waiter_.reset(); }
  [[nodiscard]] const Counters& counters() const noexcept { return *counters_; }
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  PassThroughReader(int fd, bool header, Pool& pool, Waiter waiter)
      : fd_(fd), header_(header), pool_(&pool), waiter_(std::move(waiter)) {}

  int fd_;
  bool header_;  ///< an OffloadHeader stands before each packet
  int error_ = 0;
  Pool* pool_;
  Waiter waiter_;
  std::unique_ptr<Counters> counters_ = std::make_unique<Counters>();
};

class PassThroughWriter {
 public:
  [[nodiscard]] static Result<PassThroughWriter> create(const Tun& tun, std::size_t queue = 0);

  /// Hands the packet to the kernel. A packet that the kernel refuses is counted, as is one that is
  /// not complete where the device takes only complete packets.
  void write(const Packet& packet) noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return *counters_; }

 private:
  PassThroughWriter(int fd, bool header) : fd_(fd), header_(header) {}

  int fd_;
  bool header_;
  std::unique_ptr<Counters> counters_ = std::make_unique<Counters>();
};

}  // namespace warren
