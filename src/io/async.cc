#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <fmt/format.h>

#include <warren/async.h>
#include <warren/framed.h>

namespace warren {

Result<AsyncReader> AsyncReader::create(asio::any_io_executor executor, const Tun& tun,
                                        std::size_t queue) {
  auto reader = PacketReader::create(tun, queue);
  if (!reader) return tl::unexpected(reader.error());
  // Asio wants to own what it waits for, and so does the Tun.
  const int duplicate = ::fcntl(tun.fd(queue), F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return fail_errno(fmt::format("duplicate the descriptor of {}", tun.name()));
  asio::posix::stream_descriptor descriptor(std::move(executor));
  asio::error_code error;
  descriptor.assign(duplicate, error);
  if (error) {
    ::close(duplicate);
    return fail(fmt::format("wait for {}: {}", tun.name(), error.message()), error.value());
  }
  return AsyncReader{std::move(*reader), std::move(descriptor)};
}

asio::awaitable<bool> AsyncReader::readable() {
  if (cancelled_->load()) co_return false;
  asio::error_code error;
  co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
  co_return !error && !cancelled_->load();
}

void AsyncReader::cancel() {
  cancelled_->store(true);
  asio::post(descriptor_.get_executor(), [this] {
    asio::error_code ignored;
    descriptor_.cancel(ignored);
  });
}

asio::awaitable<ReadStatus> AsyncReader::read(std::span<std::byte>& packet) {
  for (;;) {
    const auto status = try_read(packet);
    if (status != ReadStatus::empty) co_return status;
    if (!co_await readable()) co_return ReadStatus::interrupted;
  }
}

asio::awaitable<ReadStatus> AsyncReader::read(Pool& pool, Packet& packet) {
  for (;;) {
    const auto status = try_read(pool, packet);
    if (status != ReadStatus::empty) co_return status;
    if (!co_await readable()) co_return ReadStatus::interrupted;
  }
}

Result<FramedSource> FramedSource::create(asio::any_io_executor executor, const Tun& tun,
                                          Pool& pool, std::size_t queue) {
  auto reader = AsyncReader::create(executor, tun, queue);
  if (!reader) return tl::unexpected(reader.error());
  return FramedSource{std::move(*reader), pool, std::move(executor)};
}

asio::awaitable<Packet> FramedSource::next() {
  Packet packet;
  for (;;) {
    const auto status = co_await reader_.read(*pool_, packet);
    if (status == ReadStatus::packet) co_return std::move(packet);
    if (status != ReadStatus::no_buffer) co_return Packet{};
    asio::steady_timer pause(executor_, std::chrono::milliseconds(1));
    co_await pause.async_wait(asio::use_awaitable);
  }
}

Packet FramedSource::poll() noexcept {
  Packet packet;
  (void)reader_.try_read(*pool_, packet);  // no packet says why well enough
  return packet;
}

Result<FramedSink> FramedSink::create(const Tun& tun, std::size_t queue) {
  auto writer = PacketWriter::create(tun, queue);
  if (!writer) return tl::unexpected(writer.error());
  return FramedSink{std::move(*writer)};
}

}  // namespace warren
