// The channel around the async mode: a coroutine per direction reads into a bounded queue, and a
// thread per direction writes. With --pool the queue carries packets of a pool; without it, each
// packet is a vector of its own, as in programs that know no pool.
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <warren/async.h>
#include <warren/channel.h>
#include <warren/concurrent.h>

#include "common.h"

namespace {

using warren::ReadStatus;

constexpr std::size_t queued = 256;
constexpr std::size_t held_back = 128;  // at most, by a writer that coalesces

struct PooledPackets {
  using Item = warren::Packet;

  explicit PooledPackets(unsigned mtu)
      : pool(example::must(warren::Pool::create(queued + held_back + 2, mtu))) {}
  ReadStatus read(warren::AsyncReader& in, Item& item) { return in.try_read(*pool, item); }
  void write(warren::AsyncWriter& out, Item& item) { out.write(std::move(item)); }
  void flush(warren::AsyncWriter& out) { out.flush(); }

  std::unique_ptr<warren::Pool> pool;
};

struct OwnVectors {
  using Item = std::vector<std::byte>;

  explicit OwnVectors(unsigned) {}
  ReadStatus read(warren::AsyncReader& in, Item& item) {
    std::span<std::byte> packet;
    const auto status = in.try_read(packet);
    if (status == ReadStatus::packet) item.assign(packet.begin(), packet.end());
    return status;
  }
  // The writer refers to the bytes until it is flushed.
  void write(warren::AsyncWriter& out, Item& item) {
    if (held.size() == held_back) flush(out);
    held.push_back(std::move(item));
    out.write(held.back());
  }
  void flush(warren::AsyncWriter& out) {
    out.flush();
    held.clear();
  }

  std::vector<Item> held;
};

template <class Packets>
struct Direction {
  Direction(asio::io_context& context, const warren::Tun& from, const warren::Tun& to, unsigned mtu)
      : strand(asio::make_strand(context)),
        packets(mtu),
        in(example::must(warren::AsyncReader::create(strand, from))),
        out(example::must(warren::AsyncWriter::create(to))) {
    asio::co_spawn(strand, read(), asio::detached);
  }

  asio::awaitable<void> read() {
    for (;;) {
      typename Packets::Item item;
      const auto status = packets.read(in, item);
      if (status == ReadStatus::packet) {
        if (!channel.push(std::move(item), in.buffered() > 0)) co_return;
      } else if (status != ReadStatus::empty || !co_await in.readable()) {
        break;
      }
    }
    example::finish_thread(in.error());
  }
  void write() {
    typename Packets::Item item;
    while (channel.pop(item)) {
      packets.write(out, item);
      if (channel.empty()) packets.flush(out);
    }
  }

  asio::strand<asio::io_context::executor_type> strand;
  Packets packets;
  warren::Channel<typename Packets::Item> channel{queued};
  warren::AsyncReader in;
  warren::AsyncWriter out;
};

template <class Packets>
void run(const example::Options& options, const example::StopSignal& stop) {
  const example::Devices devices(options);
  asio::io_context context(static_cast<int>(options.threads));
  Direction<Packets> forward(context, devices.first, devices.second, options.mtu);
  Direction<Packets> back(context, devices.second, devices.first, options.mtu);
  std::vector<std::function<void()>> work(options.threads, [&] { context.run(); });
  work.push_back([&] { forward.write(); });
  work.push_back([&] { back.write(); });
  warren::Concurrent threads(work, [&] {
    forward.in.cancel();
    back.in.cancel();
    forward.channel.close();
    back.channel.close();
  });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}

}  // namespace

int main(int argc, char** argv) {
  const auto options =
      example::parse(argc, argv, "Asio coroutines, and a queue to a writer thread per direction");
  const example::StopSignal stop;
  if (options.pool) {
    run<PooledPackets>(options, stop);
  } else {
    run<OwnVectors>(options, stop);
  }
}
