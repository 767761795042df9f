// The framed mode with a channel: a stream of owned, pooled packets per direction, a bounded queue,
// and a thread per direction that feeds a sink.
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <warren/channel.h>
#include <warren/concurrent.h>
#include <warren/framed.h>

#include "common.h"

namespace {

constexpr std::size_t queued = 256;
constexpr std::size_t held_back = 128;  // at most, by a sink that coalesces

struct Direction {
  Direction(asio::io_context& context, const warren::Tun& from, const warren::Tun& to, unsigned mtu)
      : strand(asio::make_strand(context)),
        pool(example::must(warren::Pool::create(queued + held_back + 2, mtu))),
        source(example::must(warren::FramedSource::create(strand, from, *pool))),
        sink(example::must(warren::FramedSink::create(to))) {
    asio::co_spawn(strand, read(), asio::detached);
  }

  asio::awaitable<void> read() {
    for (;;) {
      warren::Packet packet = source.poll();  // spares a coroutine for packets that are there
      if (!packet) packet = co_await source.next();
      if (!packet || !channel.push(std::move(packet), source.buffered() > 0)) break;
    }
    example::finish_thread(source.error());
  }
  void write() {
    warren::Packet packet;
    while (channel.pop(packet)) {
      sink.send(std::move(packet));
      if (channel.empty()) sink.flush();
    }
  }

  asio::strand<asio::io_context::executor_type> strand;
  std::unique_ptr<warren::Pool> pool;
  warren::Channel<warren::Packet> channel{queued};
  warren::FramedSource source;
  warren::FramedSink sink;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = example::parse(argc, argv, "a stream and a sink of owned packets");
  const example::StopSignal stop;
  const example::Devices devices(options);
  asio::io_context context(static_cast<int>(options.threads));
  Direction forward(context, devices.first, devices.second, options.mtu);
  Direction back(context, devices.second, devices.first, options.mtu);
  std::vector<std::function<void()>> work(options.threads, [&] { context.run(); });
  work.push_back([&] { forward.write(); });
  work.push_back([&] { back.write(); });
  warren::Concurrent threads(work, [&] {
    forward.source.cancel();
    back.source.cancel();
    forward.channel.close();
    back.channel.close();
  });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, forward.source.counters(),
                          forward.sink.counters());
  example::print_counters(options.iface2, options.iface1, back.source.counters(),
                          back.sink.counters());
}
