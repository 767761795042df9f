#include "io/tun_change.h"

#include <algorithm>

#include "core/log.h"

namespace warren {

namespace {

bool same_device(const TunConfig& a, const TunConfig& b) {
  return a.mode == b.mode && a.name == b.name && a.netns == b.netns && a.queues == b.queues &&
         a.owner == b.owner && a.group == b.group && a.offload == b.offload;
}

bool withdraws_setting(const TunConfig& before, const TunConfig& after) {
  return (before.mtu && !after.mtu) || (before.mac && !after.mac) ||
         (before.tx_queue_length && !after.tx_queue_length);
}

template <class T>
std::vector<T> without(std::vector<T> items, const std::vector<T>& others) {
  std::erase_if(items,
                [&](const T& item) { return std::ranges::find(others, item) != others.end(); });
  return items;
}

}  // namespace

bool needs_new_device(const TunConfig& before, const TunConfig& after) {
  return !same_device(before, after) || withdraws_setting(before, after);
}

// Routes are all told anew at the end, because the kernel drops them with their address or when the
// device goes down; adding one that is there is no error.
Result<> change_tun(Tun& tun, const TunConfig& before, const TunConfig& after) {
  auto present = tun.addresses();
  if (!present) return tl::unexpected(present.error());
  Result<> done;
  const auto step = [&](bool needed, auto&& action) {
    if (done && needed) done = action();
  };
  step(after.mtu.has_value(), [&] { return tun.set_mtu(*after.mtu); });
  step(after.mac.has_value(), [&] { return tun.set_mac(*after.mac); });
  step(after.tx_queue_length.has_value(),
       [&] { return tun.set_tx_queue_length(*after.tx_queue_length); });
  step(after.persist != before.persist, [&] { return tun.set_persist(after.persist); });
  for (const auto& route : without(before.routes, after.routes))
    if (auto removed = tun.remove_route(route); !removed) log::debug("{}", removed.error().message);
  const auto unwanted = without(before.addresses, after.addresses);
  for (const auto& address : without(unwanted, without(unwanted, *present)))
    step(true, [&] { return tun.remove_address(address); });
  for (const auto& address : without(after.addresses, *present))
    step(true, [&] { return tun.add_address(address); });
  step(true, [&] { return tun.set_up(after.up); });
  if (after.up)
    for (const auto& route : after.routes) step(true, [&] { return tun.add_route(route); });
  return done;
}

}  // namespace warren
