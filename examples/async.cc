// The async mode: Asio coroutines, one per direction; --thread N threads run them.
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <warren/async.h>
#include <warren/concurrent.h>

#include "common.h"

namespace {

using warren::ReadStatus;

struct Direction {
  Direction(asio::io_context& context, const warren::Tun& from, const warren::Tun& to)
      : strand(asio::make_strand(context)),
        in(example::must(warren::AsyncReader::create(strand, from))),
        out(example::must(warren::AsyncWriter::create(to))) {}

  asio::awaitable<void> run() {
    std::span<std::byte> packet;
    for (;;) {
      auto status = in.try_read(packet);  // spares a coroutine for packets that are there
      if (status == ReadStatus::empty) status = co_await in.read(packet);
      if (status != ReadStatus::packet) break;
      out.write(packet);
      if (in.buffered() == 0) out.flush();
    }
    example::finish_thread(in.error());
  }
  void start() { asio::co_spawn(strand, run(), asio::detached); }

  asio::strand<asio::io_context::executor_type> strand;
  warren::AsyncReader in;
  warren::AsyncWriter out;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = example::parse(argc, argv, "Asio coroutines");
  const example::StopSignal stop;
  const example::Devices devices(options);
  asio::io_context context(static_cast<int>(options.threads));
  Direction forward(context, devices.first, devices.second);
  Direction back(context, devices.second, devices.first);
  forward.start();
  back.start();
  const std::vector<std::function<void()>> work(options.threads, [&] { context.run(); });
  warren::Concurrent threads(work, [&] {
    forward.in.cancel();
    back.in.cancel();
  });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}
