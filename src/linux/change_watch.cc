#include "linux/change_watch.h"

namespace warren {

namespace {

constexpr auto settle_time = std::chrono::milliseconds(50);

}  // namespace

Result<> ChangeWatch::start(netlink::Events::Of what) {
  auto events = netlink::Events::open(what);
  if (!events) return tl::unexpected(events.error());
  events_.emplace(std::move(*events));
  auto watch = loop_.watch(events_->fd(), [this] {
    events_->clear();
    if (settled_.when() == Clock::time_point::max()) call_after(settle_time);
  });
  if (!watch) return tl::unexpected(watch.error());
  watch_ = std::move(*watch);
  return {};
}

}  // namespace warren
