/// The async mode: one packet per call in Asio coroutines (C++20 awaitables).
///
///     asio::awaitable<void> forward(AsyncReader& in, AsyncWriter& out) {
///       std::span<std::byte> packet;
///       for (;;) {
///         auto status = in.try_read(packet);       // no coroutine is made for packets at hand
///         if (status == ReadStatus::empty) status = co_await in.read(packet);
///         if (status != ReadStatus::packet) co_return;
///         out.write(packet);
///         if (in.buffered() == 0) out.flush();
///       }
///     }
///
/// With offload the packets are the segments of super-packets (see packet_io.h). Threads: a reader
/// belongs to one coroutine, which may run on any thread of the executor; cancel() may be called
/// from any thread. This is the only public header that needs Asio (stand-alone, 1.22 or newer).
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <atomic>
#include <memory>

#include <warren/packet_io.h>

namespace warren {

class AsyncReader {
 public:
  /// The Tun outlives the reader.
  [[nodiscard]] static Result<AsyncReader> create(asio::any_io_executor executor, const Tun& tun,
                                                  std::size_t queue = 0);

  /// Waits for the next packet: a view that stays valid until the next read that is made while
  /// buffered() is 0.
  [[nodiscard]] asio::awaitable<ReadStatus> read(std::span<std::byte>& packet);
  /// The same in a buffer of `pool`.
  [[nodiscard]] asio::awaitable<ReadStatus> read(Pool& pool, Packet& packet);

  // Without waiting; see PacketReader. Now and then they say `empty` though packets are there, so
  // that coroutines of one thread take turns.
  [[nodiscard]] ReadStatus try_read(std::span<std::byte>& packet) noexcept {
    return take_turn([&] { return reader_.read(packet); });
  }
  [[nodiscard]] ReadStatus try_read(Pool& pool, Packet& packet) noexcept {
    return take_turn([&] { return reader_.read(pool, packet); });
  }
  /// False after cancel().
  [[nodiscard]] asio::awaitable<bool> readable();

  /// Makes the read that waits, and every one after it, return ReadStatus::interrupted. The reader
  /// must live until its executor has run what was posted.
  void cancel();
  [[nodiscard]] std::size_t buffered() const noexcept { return reader_.buffered(); }
  [[nodiscard]] const Counters& counters() const noexcept { return reader_.counters(); }
  [[nodiscard]] int error() const noexcept { return reader_.error(); }

 private:
  AsyncReader(PacketReader reader, asio::posix::stream_descriptor descriptor)
      : reader_(std::move(reader)), descriptor_(std::move(descriptor)) {}

  template <class Read>
  ReadStatus take_turn(Read&& read) noexcept {
    constexpr unsigned system_calls = 64;
    if (cancelled_->load(std::memory_order_relaxed)) return ReadStatus::interrupted;
    if (reader_.buffered() == 0 && ++turn_ > system_calls) {
      turn_ = 0;
      return ReadStatus::empty;
    }
    return read();
  }

  PacketReader reader_;
  unsigned turn_ = 0;
  std::unique_ptr<std::atomic<bool>> cancelled_ = std::make_unique<std::atomic<bool>>(false);
  asio::posix::stream_descriptor descriptor_;  ///< a duplicate, only waited for
};

/// A TUN device takes packets at once, so writes are plain calls.
using AsyncWriter = PacketWriter;

}  // namespace warren
