/// For tests: a world in which nothing happens but what is scheduled, and days take milliseconds.
#pragma once

#include <functional>
#include <queue>
#include <random>
#include <utility>

#include "wireguard/protocol.h"

namespace warren::wireguard::testing {

class World {
 public:
  explicit World(std::uint64_t seed) : random(seed) {}

  void at(Time when, std::function<void()> what) {
    events_.push({when, order_++, std::move(what)});
  }
  void run_until(Time end) {
    while (!events_.empty() && events_.top().when <= end) {
      auto event = events_.top();
      events_.pop();
      now = event.when;
      event.what();
    }
    now = end;
  }
  void run_for(Duration duration) { run_until(now + duration); }
  bool chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random) < probability;
  }

  Time now{std::chrono::hours(1)};
  std::mt19937_64 random;

 private:
  struct Event {
    Time when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::pair(when, order) > std::pair(other.when, other.order);
    }
  };
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
};

}  // namespace warren::wireguard::testing
