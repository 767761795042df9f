#include "tunnel/wireguard_service.h"

#include <cstring>

#include "core/log.h"
#include "linux/privileges.h"

namespace warren::tunnel {

Result<std::unique_ptr<WireguardService>> WireguardService::create(Loop& loop, Tun tun, Fd listener,
                                                                   Options options) {
  if (auto hidden = hide_memory(); !hidden) return tl::unexpected(hidden.error());
  std::unique_ptr<WireguardService> service(new WireguardService);
  const auto name = tun.name();
  // First of all, so that the file goes where something fails. It answers nobody before the loop runs.
  auto server = UapiServer::create(
      loop, std::move(listener),
      {.get = [self = service.get()](wireguard::SecretText& out) { self->describe(out); },
       .set = [self = service.get()](
                  const wireguard::DeviceConfig& config) { return self->configure(config); },
       .on_removed = options.on_end});
  if (!server) return tl::unexpected(server.error());
  service->server_ = std::move(*server);
  options.interface.on_device_gone = [name, end = options.on_end](int error) {
    log::info("{}: the device is gone ({})", name, std::strerror(error));
    end();
  };
  if (options.icmp) {
    auto flows = IcmpFlows::create(loop, name, std::move(*options.icmp), /*port=*/0, /*mark=*/0);
    if (!flows) return tl::unexpected(flows.error());
    service->flows_ = std::move(*flows);
  }
  auto interface = WireguardInterface::create(loop, std::move(tun), std::move(options.interface));
  if (!interface) return tl::unexpected(interface.error());
  service->interface_ = std::move(*interface);
  return service;
}

Result<> WireguardService::configure(const wireguard::DeviceConfig& config) {
  if (!flows_) return interface_->configure(config);
  const auto before = interface_->status();
  auto done = flows_->move(config.listen_port.value_or(before.listen_port),
                           config.fwmark.value_or(before.fwmark));
  if (done) done = interface_->configure(config);
  // Another port than was asked for: any, or what was before a mistake.
  const auto now = interface_->status();
  if (auto moved = flows_->move(now.listen_port, now.fwmark); !moved && done) done = moved;
  return done;
}

std::vector<std::pair<std::string, std::string>> WireguardService::details() const {
  auto details = interface_->details();
  if (flows_)
    for (auto& detail : flows_->details()) details.push_back(std::move(detail));
  return details;
}

void WireguardService::describe(wireguard::SecretText& out) const {
  wireguard::uapi::write_device(out, interface_->status());
  interface_->for_each_peer(
      [&](const wireguard::PeerStatus& peer) { wireguard::uapi::write_peer(out, peer); });
}

}  // namespace warren::tunnel
