// Super-packets through io_uring: one thread, one outstanding read per device, one system call per
// batch of writes. This is what `warren up` does.
#include <warren/loop.h>

#include "common.h"

namespace {

// What is read from one device is written to the other.
struct Direction : warren::PacketReceiver {
  void on_packets(warren::Batch& batch) noexcept override {
    read.packets.add(batch.size());
    read.bytes.add(batch.total_bytes());
    written.packets.add(batch.size());
    written.bytes.add(batch.total_bytes());
    to->write(batch);
  }
  void on_stream_end(int error) noexcept override { example::finish_thread(error); }

  warren::Counters read;
  warren::Counters written;
  warren::PacketStream* to = nullptr;
};

std::unique_ptr<warren::PacketStream> open_stream(warren::Loop& loop, const warren::Tun& tun,
                                                  Direction& from, Direction& into) {
  return example::must(loop.open_stream({.fd = tun.fd(),
                                         .offload_header = tun.offloads().header,
                                         .receiver = &from,
                                         .read_counters = &from.read,
                                         .write_counters = &into.written}));
}

}  // namespace

int main(int argc, char** argv) {
  auto options = example::parse(argc, argv, "super-packets, untouched, through io_uring");
  options.offload = true;
  const example::StopSignal stop;
  const example::Devices devices(options);
  const auto loop = example::must(warren::Loop::create(warren::Loop::Backend::io_uring));
  Direction forward;
  Direction back;
  const auto first = open_stream(*loop, devices.first, forward, back);
  const auto second = open_stream(*loop, devices.second, back, forward);
  forward.to = second.get();
  back.to = first.get();

  std::thread stopper([&] {
    stop.wait();
    loop->stop();
  });
  if (const auto ran = loop->run(); !ran) example::die(ran.error().message);
  stopper.join();
  example::print_counters(options.iface1, options.iface2, forward.read, forward.written);
  example::print_counters(options.iface2, options.iface1, back.read, back.written);
}
