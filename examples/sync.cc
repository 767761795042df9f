// The sync mode: blocking reads, one packet per call; one thread per direction.
#include <warren/sync.h>

#include "common.h"

namespace {

struct Direction {
  Direction(const warren::Tun& from, const warren::Tun& to)
      : in(example::must(warren::SyncReader::create(from))),
        out(example::must(warren::SyncWriter::create(to))) {}

  void run() {
    std::span<std::byte> packet;
    while (in.read(packet) == warren::ReadStatus::packet) {
      out.write(packet);
      if (in.buffered() == 0) out.flush();
    }
    example::finish_thread(in.error());
  }

  warren::SyncReader in;
  warren::SyncWriter out;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = example::parse(argc, argv, "blocking reads, one packet per call");
  const example::StopSignal stop;
  const example::Devices devices(options);
  Direction forward(devices.first, devices.second);
  Direction back(devices.second, devices.first);
  std::thread forward_thread([&] { forward.run(); });
  std::thread back_thread([&] { back.run(); });

  stop.wait();
  forward.in.interrupt();
  back.in.interrupt();
  forward_thread.join();
  back_thread.join();
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}
