#include "carrier/checksum_mode.h"

#include <fmt/format.h>
#include <linux/if_arp.h>

#include <algorithm>
#include <array>

#include "linux/ethtool.h"

namespace warren::carrier {

namespace {

bool has(const DeviceTraits& device, const char* feature) {
  const auto found = device.features.find(feature);
  return found != device.features.end() && found->second;
}

// Drivers whose other end is a kernel, or a hypervisor that may hand packets to one as they are.
bool leads_to_another_kernel(const std::string& driver) {
  constexpr std::array<std::string_view, 8> drivers = {
      "veth", "tun", "virtio_net", "vif", "netkit", "hv_netvsc", "vmxnet3", "xen_netfront"};
  return std::ranges::find(drivers, driver) != drivers.end();
}

}  // namespace

const char* name_of(ChecksumMode mode) {
  return mode == ChecksumMode::balance ? "balance" : "software";
}

ChecksumChoice choose_checksum_mode(const DeviceTraits& device) {
  const auto balance = [](std::string why) {
    return ChecksumChoice{ChecksumMode::balance, std::move(why)};
  };
  const auto software = [](std::string why) {
    return ChecksumChoice{ChecksumMode::software, std::move(why)};
  };
  const bool generic = has(device, "tx-checksum-ip-generic");
  const bool special = has(device, "tx-checksum-ipv4") || has(device, "tx-checksum-ipv6");
  if (device.kind == "wireguard")
    return balance("WireGuard completes checksums before it encrypts");
  if (!generic && !special)
    return balance("the kernel completes checksums, because the device does not");
  if (device.loopback) return software("nobody completes checksums on the loopback device");
  if (leads_to_another_kernel(device.driver))
    return software(
        fmt::format("{} passes unfinished checksums on to another kernel, where a NAT "
                    "would lose the tag",
                    device.driver));
  if (!device.kind.empty())
    return software(
        fmt::format("a {} sends through another device, and it is not known what that "
                    "one completes",
                    device.kind));
  if (device.bus.empty()) return software("it is not known who completes the device's checksums");
  if (!generic)
    return software(fmt::format("{} completes only the checksums of TCP and UDP", device.driver));
  return balance(fmt::format("{} completes checksums at any place", device.driver));
}

bool passes_super_packets(const DeviceTraits& device) {
  return device.driver == "veth" && has(device, "tx-udp-segmentation");
}

Result<DeviceTraits> read_device_traits(const netlink::Link& link) {
  auto features = ethtool::features(link.name);
  if (!features) return tl::unexpected(features.error());
  auto driver = ethtool::driver(link.name);
  if (!driver) return tl::unexpected(driver.error());
  return DeviceTraits{.kind = link.kind,
                      .driver = std::move(driver->name),
                      .bus = std::move(driver->bus),
                      .features = std::move(*features),
                      .loopback = link.type == ARPHRD_LOOPBACK};
}

}  // namespace warren::carrier
