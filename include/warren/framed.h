/// The framed mode: a stream and a sink of packets that the program owns, over the async mode.
///
///     while (Packet packet = co_await source.next()) sink.send(std::move(packet));
///     sink.flush();
///
/// Packets come from a pool and return to it when they die, so they may be kept, queued, or passed
/// to another thread.
#pragma once

#include <warren/async.h>

namespace warren {

class FramedSource {
 public:
  /// The Tun and the pool outlive the source; the pool's packets hold the device's MTU.
  [[nodiscard]] static Result<FramedSource> create(asio::any_io_executor executor, const Tun& tun,
                                                   Pool& pool, std::size_t queue = 0);

  /// The next packet; no packet once the device is gone or after cancel(). Waits while the pool is
  /// exhausted, and looks again every millisecond.
  [[nodiscard]] asio::awaitable<Packet> next();
  /// The next packet that is there already: no coroutine is made.
  [[nodiscard]] Packet poll() noexcept;

  /// From any thread; see AsyncReader.
  void cancel() { reader_.cancel(); }
  [[nodiscard]] std::size_t buffered() const noexcept { return reader_.buffered(); }
  [[nodiscard]] const Counters& counters() const noexcept { return reader_.counters(); }
  [[nodiscard]] int error() const noexcept { return reader_.error(); }

 private:
  FramedSource(AsyncReader reader, Pool& pool, asio::any_io_executor executor)
      : reader_(std::move(reader)), pool_(&pool), executor_(std::move(executor)) {}

  AsyncReader reader_;
  Pool* pool_;
  asio::any_io_executor executor_;
};

class FramedSink {
 public:
  [[nodiscard]] static Result<FramedSink> create(const Tun& tun, std::size_t queue = 0);

  /// Takes the packet; with offload it is held back to be coalesced until flush().
  void send(Packet packet) noexcept { writer_.write(std::move(packet)); }
  void flush() noexcept { writer_.flush(); }
  [[nodiscard]] const Counters& counters() const noexcept { return writer_.counters(); }

 private:
  explicit FramedSink(PacketWriter writer) : writer_(std::move(writer)) {}
  PacketWriter writer_;
};

}  // namespace warren
