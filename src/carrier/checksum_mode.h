/// Where the checksums of carried packets are completed: the choice between balance and software.
///
/// In *balance* an unfinished checksum (CHECKSUM_PARTIAL) is left to whoever completes it behind us,
/// at the place where UDP has it; the word that is written there makes the ICMP message verify. That
/// needs somebody who completes it by its place, before a NAT sees the packet: a device with generic
/// checksum offload that sends on a wire, or the kernel, where the device has no offload. It fails
///
///  - where an unfinished packet travels on to another kernel (veth, tap, virtio_net): a NAT there
///    changes the identifier and leaves the checksum field alone, and the identity is lost;
///  - where the device completes only real TCP and UDP (NETIF_F_IP_CSUM).
///
/// There *software* completes it first, in the kernel program (bpf/skb.h); but not that of a super-packet
/// which is known to arrive whole (bpf/icmp_whole.h). Pure functions, but read_device_traits().
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <warren/result.h>

#include "linux/netlink.h"

namespace warren::carrier {

enum class ChecksumMode : std::uint8_t { automatic, balance, software };

/// "balance" or "software": of a mode that was chosen.
[[nodiscard]] const char* name_of(ChecksumMode mode);

/// What the choice depends on.
struct DeviceTraits {
  std::string kind{};    ///< as in netlink::Link
  std::string driver{};  ///< as in ethtool::Driver
  std::string bus{};
  std::map<std::string, bool> features{};  ///< ethtool's names
  bool loopback = false;
};

struct ChecksumChoice {
  ChecksumMode mode = ChecksumMode::software;  ///< never automatic
  std::string reason;                          ///< for people: "the device ..."
};

[[nodiscard]] ChecksumChoice choose_checksum_mode(const DeviceTraits& device);

/// Whether super-packets may reach the other end of the device as they are: bpf/icmp_whole.h.
[[nodiscard]] bool passes_super_packets(const DeviceTraits& device);

/// Of a device in the calling thread's network namespace.
[[nodiscard]] Result<DeviceTraits> read_device_traits(const netlink::Link& link);

}  // namespace warren::carrier
