// The batch mode: many packets per call in pooled buffers; one thread per direction.
#include <warren/batch_io.h>
#include <warren/concurrent.h>

#include "common.h"

namespace {

struct Direction {
  Direction(const warren::Tun& from, const warren::Tun& to, unsigned mtu)
      : pool(example::must(warren::Pool::create(2 * warren::Batch::capacity, mtu))),
        in(example::must(warren::BatchReader::create(from, *pool))),
        out(example::must(warren::BatchWriter::create(to))) {}

  void run() {
    warren::Batch batch;
    while (in.read(batch) == warren::ReadStatus::packet) out.write(batch);
    example::finish_thread(in.error());
  }

  std::unique_ptr<warren::Pool> pool;
  warren::BatchReader in;
  warren::BatchWriter out;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = example::parse(argc, argv, "many packets per call");
  const example::StopSignal stop;
  const example::Devices devices(options);
  Direction forward(devices.first, devices.second, options.mtu);
  Direction back(devices.second, devices.first, options.mtu);
  warren::Concurrent threads({[&] { forward.run(); }, [&] { back.run(); }}, [&] {
    forward.in.interrupt();
    back.in.interrupt();
  });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}
