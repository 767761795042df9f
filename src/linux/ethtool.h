/// What a network device's driver does for the stack: checksums, segmentation, coalescing.
///
/// Source: ethtool(8) -K, the kernel's include/uapi/linux/ethtool.h. The device is looked up in the
/// calling thread's network namespace (see netns.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren::ethtool {

/// Groups of the driver's features, as `ethtool -K` names them.
enum class Feature : std::uint8_t {
  tx_checksum,             ///< tx: the device completes checksums
  tso,                     ///< tso: the device segments TCP
  gso,                     ///< gso: the stack segments as late as it can
  gro,                     ///< gro: the stack coalesces what arrives
  tx_udp_segmentation,     ///< tx-udp-segmentation: the device segments UDP
  tx_tunnel_segmentation,  ///< tx-udp_tnl-segmentation: the device segments what is in UDP tunnels
};

/// Switches the group. A driver that refuses part of it is an error that names the features.
Result<> set(std::string_view device, Feature feature, bool on);

/// Every feature of the device by the driver's name ("tx-checksum-ip-generic"), and whether it is
/// on.
[[nodiscard]] Result<std::map<std::string, bool>> features(std::string_view device);

struct Driver {
  std::string name;  ///< "veth", "tun", "virtio_net", "e1000e"
  std::string bus;   ///< where the hardware sits, such as "0000:00:03.0"; devices without hardware
                     ///< have none, but for the words "tun" and "tap"
};

/// Devices that do not tell have an empty name.
[[nodiscard]] Result<Driver> driver(std::string_view device);

}  // namespace warren::ethtool
