/// `[wireguard.NAME]`: a WireGuard interface that `warren up` keeps going. Its packets come and go
/// through its device; it has ports only for VXLANs of this process that use it.
///
/// Keys are in files of their own, and in no description of a network: they are read when the
/// description is, to find mistakes and to notice changes, and again when they are applied.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <warren/tun.h>

#include "core/node.h"
#include "tunnel/icmp_flows.h"
#include "tunnel/overlay_ports.h"
#include "wireguard/device_config.h"

namespace warren::tunnel {

struct WireguardSettings {
  /// The device, with addresses, MTU and routes.
  TunConfig tun;
  /// Without secrets, and each peer once.
  wireguard::DeviceConfig device;
  std::string private_key_file;
  /// Of device.peers[i]; empty: none.
  std::vector<std::string> preshared_key_files;
  /// As wg(8) reads it; then `device` and the secrets come from there, and there are no key files.
  std::string config_file;
  std::optional<IcmpFlowsSettings> icmp;
  std::vector<OverlaySettings> overlays{};  ///< VXLANs of this process that are joined with it
  unsigned threads = 0;                     ///< as WireguardInterface::Options has them
  /// fingerprint_of() the secrets, so that a changed key is a changed description.
  std::array<std::uint8_t, 32> fingerprint{};

  friend bool operator==(const WireguardSettings&, const WireguardSettings&) = default;
};

/// The configuration with its secrets, out of the files. Errors name the file and what to do.
[[nodiscard]] Result<wireguard::DeviceConfig> read_secrets(const WireguardSettings& settings);

/// A hash of the secrets in `config`, to tell whether they have changed.
[[nodiscard]] std::array<std::uint8_t, 32> fingerprint_of(const wireguard::DeviceConfig& config);

/// The routes through the device that follow from the allowed IPs.
[[nodiscard]] std::vector<Route> routes_of(const wireguard::DeviceConfig& config);

class WireguardNodeConfig final : public NodeConfigOf<WireguardSettings> {
 public:
  using NodeConfigOf::NodeConfigOf;

  [[nodiscard]] std::string_view kind() const noexcept override { return "wireguard"; }
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
};

}  // namespace warren::tunnel
