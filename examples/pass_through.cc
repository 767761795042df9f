// Super-packets as the kernel has them: the fastest way with plain system calls. One thread for
// both directions, or one per direction (--concurrent).
#include <warren/pass_through.h>

#include "common.h"

namespace {

struct Direction {
  Direction(const warren::Tun& from, const warren::Tun& to)
      : pool(example::must(warren::Pool::create(4, warren::Pool::super_packet_size))),
        in(example::must(warren::PassThroughReader::create(from, *pool))),
        out(example::must(warren::PassThroughWriter::create(to))) {}

  void run() {
    warren::Packet packet;
    while (in.read(packet) == warren::ReadStatus::packet) out.write(packet);
    example::finish_thread(in.error());
  }
  // What is there now, but not more than lets the other direction have its turn. False where
  // nothing was.
  bool burst() {
    warren::Packet packet;
    int count = 0;
    for (; count < 16 && in.try_read(packet) == warren::ReadStatus::packet; ++count)
      out.write(packet);
    example::finish_thread(in.error());
    return count > 0;
  }

  std::unique_ptr<warren::Pool> pool;
  warren::PassThroughReader in;
  warren::PassThroughWriter out;
};

void run_concurrently(const example::StopSignal& stop, Direction& forward, Direction& back) {
  std::thread forward_thread([&] { forward.run(); });
  std::thread back_thread([&] { back.run(); });
  stop.wait();
  forward.in.interrupt();
  back.in.interrupt();
  forward_thread.join();
  back_thread.join();
}

void run_alone(const example::StopSignal& stop, const example::Devices& devices, Direction& forward,
               Direction& back) {
  auto waiter = example::must(warren::Waiter::create());
  std::thread thread([&] {
    while (!waiter.interrupted()) {
      const bool sent = forward.burst();
      const bool returned = back.burst();
      if (!sent && !returned)
        (void)waiter.wait_any(devices.first.fd(), devices.second.fd(), warren::Waiter::forever);
    }
  });
  stop.wait();
  waiter.interrupt();
  thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  auto options = example::parse(argc, argv, "super-packets, untouched");
  options.offload = true;
  const example::StopSignal stop;
  const example::Devices devices(options);
  Direction forward(devices.first, devices.second);
  Direction back(devices.second, devices.first);
  if (options.concurrent)
    run_concurrently(stop, forward, back);
  else
    run_alone(stop, devices, forward, back);
  example::print_counters(options.iface1, options.iface2, forward.in.counters(),
                          forward.out.counters());
  example::print_counters(options.iface2, options.iface1, back.in.counters(), back.out.counters());
}
