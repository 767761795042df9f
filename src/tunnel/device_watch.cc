#include "tunnel/device_watch.h"

#include <sys/stat.h>

#include "core/log.h"
#include "linux/netns.h"

namespace warren::tunnel {

Result<netlink::Link> DeviceWatch::look() {
  const auto netns = device_.netns();
  if (!netns) return tl::unexpected(netns.error());
  struct stat status{};
  if (::fstat(netns->get(), &status) != 0) return fail_errno("tell a network namespace");
  if (status.st_ino != where_) {
    if (auto followed = follow(netns->get()); !followed) return tl::unexpected(followed.error());
    where_ = status.st_ino;
  }
  return socket_->link(device_.name());
}

// Events first: what changes while we look is told later.
Result<> DeviceWatch::follow(int netns) {
  const auto scope = NetnsScope::enter(netns);
  if (!scope) return tl::unexpected(scope.error());
  auto events = netlink::Events::open(netlink::Events::Of::links);
  if (!events) return tl::unexpected(events.error());
  auto watch = loop_.watch(events->fd(), [this] {
    events_->clear();
    if (const auto link = look())
      changed_(*link);
    else
      log::debug("{}", link.error().message);
  });
  if (!watch) return tl::unexpected(watch.error());
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  watch_ = std::move(*watch);
  events_.emplace(std::move(*events));
  socket_.emplace(std::move(*socket));
  return {};
}

}  // namespace warren::tunnel
