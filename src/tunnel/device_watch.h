/// Follows a TUN device: whether it is up, and its MTU, also when it is renamed or moved to another
/// network namespace.
///
/// For the thread of the loop.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>

#include <warren/loop.h>
#include <warren/tun.h>

#include "linux/netlink.h"
#include "linux/netlink_events.h"

namespace warren::tunnel {

class DeviceWatch {
 public:
  /// The device outlives this. `changed` is called from the loop with what look() would find, when
  /// something has happened to some link.
  DeviceWatch(Loop& loop, const Tun& device, std::function<void(const netlink::Link&)> changed)
      : loop_(loop), device_(device), changed_(std::move(changed)) {}
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

  /// The device as it is now; the first look begins to watch.
  [[nodiscard]] Result<netlink::Link> look();

 private:
  [[nodiscard]] Result<> follow(int netns);

  Loop& loop_;
  const Tun& device_;
  std::function<void(const netlink::Link&)> changed_;
  ino_t where_ = 0;  ///< the namespace that the rest is of
  std::optional<netlink::Socket> socket_;
  std::optional<netlink::Events> events_;
  std::unique_ptr<Loop::Watch> watch_;
};

}  // namespace warren::tunnel
