// The channel around the sync mode: per direction a reader thread and a writer thread, with a
// bounded queue of pooled packets between them.
#include <warren/channel.h>
#include <warren/concurrent.h>
#include <warren/sync.h>

#include "common.h"

namespace {

constexpr std::size_t queued = 256;
constexpr std::size_t held_back = 128;  // at most, by a writer that coalesces

struct Direction {
  Direction(const warren::Tun& from, const warren::Tun& to, unsigned mtu)
      : pool(example::must(warren::Pool::create(queued + held_back + 2, mtu))),
        in(example::must(warren::SyncReader::create(from))),
        out(example::must(warren::SyncWriter::create(to))) {}

  void read() {
    warren::Packet packet;
    while (in.read(*pool, packet) == warren::ReadStatus::packet)
      if (!channel.push(std::move(packet), in.buffered() > 0)) break;
    channel.close();
    example::finish_thread(in.error());
  }
  void write() {
    warren::Packet packet;
    while (channel.pop(packet)) {
      out.write(std::move(packet));
      if (channel.empty()) out.flush();
    }
  }

  std::unique_ptr<warren::Pool> pool;
  warren::Channel<warren::Packet> channel{queued};
  warren::SyncReader in;
  warren::SyncWriter out;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options =
      example::parse(argc, argv, "a queue between a reader and a writer thread per direction");
  const example::StopSignal stop;
  const example::Devices devices(options);
  Direction forward(devices.first, devices.second, options.mtu);
  Direction back(devices.second, devices.first, options.mtu);
  warren::Concurrent threads({[&] { forward.read(); }, [&] { forward.write(); },
                              [&] { back.read(); }, [&] { back.write(); }},
                             [&] {
                               forward.in.interrupt();
                               back.in.interrupt();
                             });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}
