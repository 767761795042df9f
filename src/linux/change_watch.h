/// Calls back when links or routes of a network namespace have changed: once for a burst of changes,
/// and not put off by further ones, since where routes change all the time that would be for ever.
///
/// For the thread of the loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include <warren/loop.h>

#include "linux/netlink_events.h"

namespace warren {

class ChangeWatch {
 public:
  ChangeWatch(Loop& loop, std::function<void()> changed)
      : loop_(loop), settled_(loop, std::move(changed)) {}
  ChangeWatch(const ChangeWatch&) = delete;
  ChangeWatch& operator=(const ChangeWatch&) = delete;

  /// Of the namespace that the calling thread is in now.
  [[nodiscard]] Result<> start(netlink::Events::Of what = netlink::Events::Of::links_and_routes);
  /// Calls back after `pause`, and not before, whatever changes meanwhile.
  void call_after(std::chrono::nanoseconds pause) { settled_.set(loop_.now() + pause); }

 private:
  Loop& loop_;
  Timer settled_;
  std::optional<netlink::Events> events_;
  std::unique_ptr<Loop::Watch> watch_;
};

}  // namespace warren
