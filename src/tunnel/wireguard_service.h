/// A WireGuard interface, the socket under which wg(8) finds it, and the carrier of its datagrams.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "tunnel/icmp_flows.h"
#include "tunnel/uapi_server.h"
#include "tunnel/wireguard_interface.h"

namespace warren::tunnel {

/// For the thread of its loop.
class WireguardService {
 public:
  struct Options {
    /// on_device_gone is the service's.
    WireguardInterface::Options interface{};
    /// Not there: plain UDP.
    std::optional<IcmpFlowsSettings> icmp{};
    /// The device or the socket's file was deleted, which both mean that the interface is to end. Must not
    /// destroy the service.
    std::function<void()> on_end{};
  };

  /// `listener`: as UapiServer takes it.
  [[nodiscard]] static Result<std::unique_ptr<WireguardService>> create(Loop& loop, Tun tun,
                                                                        Fd listener,
                                                                        Options options);

  /// The code of an error is the errno value that wg(8) would get.
  Result<> configure(const wireguard::DeviceConfig& config);
  /// Names and values, as Node::details().
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const;
  [[nodiscard]] WireguardInterface& interface() noexcept { return *interface_; }
  [[nodiscard]] const WireguardInterface& interface() const noexcept { return *interface_; }

 private:
  WireguardService() = default;
  void describe(wireguard::SecretText& out) const;

  // The last to go: nothing leaves in plain before.
  std::unique_ptr<IcmpFlows> flows_;
  std::unique_ptr<WireguardInterface> interface_;
  std::unique_ptr<UapiServer> server_;
};

}  // namespace warren::tunnel
