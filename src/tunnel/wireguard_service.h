/// A WireGuard interface, and the socket under which wg(8) finds it.
#pragma once

#include <functional>
#include <memory>

#include "tunnel/uapi_server.h"
#include "tunnel/wireguard_interface.h"

namespace warren::tunnel {

/// For the thread of its loop.
class WireguardService {
 public:
  struct Options {
    /// on_device_gone is the service's.
    WireguardInterface::Options interface{};
    /// The device or the socket's file was deleted, which both mean that the interface is to end. Must not
    /// destroy the service.
    std::function<void()> on_end;
  };

  /// `listener`: as UapiServer takes it.
  [[nodiscard]] static Result<std::unique_ptr<WireguardService>> create(Loop& loop, Tun tun,
                                                                        Fd listener,
                                                                        Options options);

  /// The code of an error is the errno value that wg(8) would get.
  Result<> configure(const wireguard::DeviceConfig& config);
  [[nodiscard]] WireguardInterface& interface() noexcept { return *interface_; }
  [[nodiscard]] const WireguardInterface& interface() const noexcept { return *interface_; }

 private:
  WireguardService() = default;
  void describe(wireguard::SecretText& out) const;

  std::unique_ptr<WireguardInterface> interface_;
  std::unique_ptr<UapiServer> server_;
};

}  // namespace warren::tunnel
