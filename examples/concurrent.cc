// Concurrent: the sync mode in one thread per direction, which start and stop together.
#include <warren/concurrent.h>
#include <warren/sync.h>

#include "common.h"

namespace {

void forward(warren::SyncReader& in, warren::SyncWriter& out) {
  std::span<std::byte> packet;
  while (in.read(packet) == warren::ReadStatus::packet) {
    out.write(packet);
    if (in.buffered() == 0) out.flush();
  }
  example::finish_thread(in.error());
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = example::parse(argc, argv, "one thread per direction");
  const example::StopSignal stop;
  const example::Devices devices(options);
  auto in1 = example::must(warren::SyncReader::create(devices.first));
  auto in2 = example::must(warren::SyncReader::create(devices.second));
  auto out1 = example::must(warren::SyncWriter::create(devices.first));
  auto out2 = example::must(warren::SyncWriter::create(devices.second));
  warren::Concurrent threads({[&] { forward(in1, out2); }, [&] { forward(in2, out1); }}, [&] {
    in1.interrupt();
    in2.interrupt();
  });

  stop.wait();
  threads.stop();
  example::print_counters(options.iface1, options.iface2, in1.counters(), out2.counters());
  example::print_counters(options.iface2, options.iface1, in2.counters(), out1.counters());
}
