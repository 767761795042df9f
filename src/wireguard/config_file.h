/// The file that wg(8) and wg-quick(8) read: `[Interface]` and `[Peer]` sections of `Key = value`.
///
/// Read is what says something about the interface itself. Keys that make wg-quick change the rest of
/// the machine (DNS, Table, PostUp, …) are refused by name: to ignore them would leave a machine that
/// is not what the file says.
#pragma once

#include <string_view>
#include <vector>

#include "wireguard/device_config.h"

namespace warren::wireguard {

struct ConfigFile {
  /// As `wg setconf` would apply it: everything is replaced.
  DeviceConfig device;
  std::vector<IpPrefix> addresses;  ///< with their host bits; without a length /32 or /128
  std::optional<std::uint32_t> mtu;
};

/// Errors are one line for each mistake, `wg0.conf:3: ListenPort: …`; they show no value that could
/// be a key. `name` stands for the file. The text is the caller's to wipe (SecretText).
[[nodiscard]] Result<ConfigFile> parse_config_file(std::string_view text, std::string_view name);

}  // namespace warren::wireguard
