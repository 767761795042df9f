#include "carrier/device_table.h"

#include <fmt/format.h>

namespace warren::carrier {

std::optional<std::uint32_t> DeviceTable::slot_of(std::uint32_t ifindex) const {
  std::optional<std::uint32_t> free;
  for (std::uint32_t probe = 0; probe < ICMP_DEVICE_PROBES; ++probe) {
    const auto slot = (ifindex + probe) % ICMP_DEVICES;
    const auto device = slots_.find(slot);
    if (!device) continue;
    if (device->ifindex == ifindex) return slot;
    if (device->ifindex == 0 && !free) free = slot;
  }
  return free;
}

std::optional<icmp_device> DeviceTable::find(std::uint32_t ifindex) const {
  const auto slot = slot_of(ifindex);
  const auto device = slot ? slots_.find(*slot) : std::nullopt;
  return device && device->ifindex == ifindex ? device : std::nullopt;
}

Result<> DeviceTable::put(std::uint32_t ifindex, icmp_device device) {
  const auto slot = slot_of(ifindex);
  if (!slot)
    return fail(fmt::format("the table of interfaces has no place for number {}; detach others "
                            "with `warren icmp detach`",
                            ifindex),
                ENOSPC);
  if (!find(ifindex)) {
    device.ifindex = 0;
    if (auto done = slots_.put(*slot, device); !done) return done;
  }
  device.ifindex = ifindex;
  return slots_.put(*slot, device);
}

Result<> DeviceTable::erase(std::uint32_t ifindex) {
  auto device = find(ifindex);
  if (!device) return {};
  device->ifindex = 0;
  return slots_.put(*slot_of(ifindex), *device);
}

Result<std::vector<std::pair<std::uint32_t, icmp_device>>> DeviceTable::all() const {
  const auto slots = slots_.all();
  if (!slots) return tl::unexpected(slots.error());
  std::vector<std::pair<std::uint32_t, icmp_device>> devices;
  for (const auto& [slot, device] : *slots)
    if (device.ifindex != 0) devices.emplace_back(device.ifindex, device);
  return devices;
}

bool DeviceTable::empty() const {
  const auto devices = all();
  return devices && devices->empty();
}

}  // namespace warren::carrier
