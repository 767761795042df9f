/// Concurrent: one thread per direction, started, interrupted and joined together.
///
///     Concurrent threads({[&] { forward(in1, out2); }, [&] { forward(in2, out1); }},
///                        [&] { in1.interrupt(); in2.interrupt(); });
///     …
///     threads.stop();
///
/// One reader per device keeps every flow in order. More readers of one device need a device with
/// several queues (TunConfig::queues), and reorder a flow.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace warren {

class Concurrent {
 public:
  /// Runs each of `directions` in a thread of its own. `interrupt` makes them all return.
  Concurrent(const std::vector<std::function<void()>>& directions, std::function<void()> interrupt)
      : interrupt_(std::move(interrupt)) {
    for (const auto& direction : directions) threads_.emplace_back(direction);
  }
  Concurrent(const Concurrent&) = delete;
  Concurrent& operator=(const Concurrent&) = delete;
  ~Concurrent() { stop(); }

  /// Interrupts and waits for all threads. May be called twice.
  void stop() {
    if (threads_.empty()) return;
    interrupt_();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::function<void()> interrupt_;
  std::vector<std::thread> threads_;
};

}  // namespace warren
