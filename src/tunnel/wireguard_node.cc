#include "tunnel/wireguard_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/log.h"
#include "crypto/blake2s.h"
#include "io/tun_change.h"
#include "tunnel/secret_file.h"
#include "tunnel/wireguard_service.h"
#include "wireguard/config_file.h"

namespace warren::tunnel {

using wireguard::DeviceConfig;
using wireguard::PeerConfig;
using wireguard::PeerStatus;

namespace {

constexpr std::size_t shown_peers = 20;  // `wg show` has them all

std::string key_text(const crypto::PublicKey& key) {
  wireguard::SecretText text;
  wireguard::append_base64(text, key);
  return {text.begin(), text.end()};
}

std::string describe(const PeerStatus& peer, std::chrono::seconds now) {
  std::string text = peer.endpoint ? "at " + peer.endpoint->to_string() : "nowhere yet";
  if (peer.last_handshake_seconds != 0)
    text += fmt::format(", handshake {}s ago", now.count() - peer.last_handshake_seconds);
  else
    text += ", no handshake yet";
  return text + fmt::format(", received {} bytes, sent {}", peer.received_bytes, peer.sent_bytes);
}

class WireguardNode final : public Node {
 public:
  WireguardNode(std::string name, WireguardSettings settings, Loop& loop)
      : Node(std::move(name)), settings_(std::move(settings)), end_(loop, [this] { end(); }) {}

  Result<> start(Loop& loop);

  [[nodiscard]] std::string_view kind() const noexcept override { return "wireguard"; }
  [[nodiscard]] std::vector<Port*> ports() override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] bool broken() const noexcept override { return service_ == nullptr; }
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;

 private:
  Result<> change(const WireguardSettings& from, const WireguardSettings& to);
  [[nodiscard]] DeviceConfig difference(DeviceConfig wanted, const DeviceConfig& former) const;
  void set_overlays(const std::vector<OverlaySettings>& overlays);
  void end();

  WireguardSettings settings_;
  Timer end_;
  std::vector<std::unique_ptr<OverlayPort>> overlays_;
  std::unique_ptr<WireguardService> service_;
};

Result<> WireguardNode::start(Loop& loop) {
  const auto config = read_secrets(settings_);
  if (!config) return tl::unexpected(config.error());
  // Up before it is configured, so that a port in use is a mistake that is told here.
  auto tun = Tun::open(settings_.tun);
  if (!tun) return tl::unexpected(tun.error());
  auto listener = listen_uapi(uapi_path(settings_.tun.name));
  if (!listener) return tl::unexpected(listener.error());
  // Who says so is a part of the service, which cannot end while it speaks.
  auto service = WireguardService::create(loop, std::move(*tun), std::move(*listener),
                                          {.interface = {.threads = settings_.threads},
                                           .icmp = settings_.icmp,
                                           .on_end = [this, &loop] { end_.set(loop.now()); }});
  if (!service) return tl::unexpected(service.error());
  service_ = std::move(*service);
  set_overlays(settings_.overlays);
  return service_->configure(*config);
}

std::vector<Port*> WireguardNode::ports() {
  std::vector<Port*> ports;
  for (const auto& overlay : overlays_) ports.push_back(overlay.get());
  return ports;
}

// Those that stay keep their links; the graph has cut those of the others.
void WireguardNode::set_overlays(const std::vector<OverlaySettings>& overlays) {
  std::vector<std::unique_ptr<OverlayPort>> ports;
  for (const auto& wanted : overlays) {
    const auto same = std::ranges::find_if(
        overlays_, [&](const auto& port) { return port && port->name() == wanted.name; });
    if (same == overlays_.end()) {
      ports.push_back(std::make_unique<OverlayPort>(wanted));
    } else {
      (*same)->change(wanted);
      ports.push_back(std::move(*same));
    }
  }
  std::vector<OverlayPort*> all;
  for (const auto& port : ports) all.push_back(port.get());
  if (service_) service_->interface().set_overlays(std::move(all));
  overlays_ = std::move(ports);
}

void WireguardNode::end() {
  if (!service_) return;
  service_.reset();
  log::error("{}: its device or its socket was deleted; `warren reload` brings it back", name());
}

Result<bool> WireguardNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const WireguardNodeConfig&>(config).settings();
  if (!service_ || needs_new_device(settings_.tun, wanted.tun) || wanted.icmp != settings_.icmp ||
      wanted.threads != settings_.threads)
    return false;
  auto done = change(settings_, wanted);
  const auto former = std::exchange(settings_, wanted);
  if (done) {
    set_overlays(settings_.overlays);
    return true;
  }
  // Half of it may have been applied: go back before saying so.
  if (auto restored = change(wanted, former); !restored) log::error("{}", restored.error().message);
  settings_ = former;
  return tl::unexpected(done.error());
}

Result<> WireguardNode::change(const WireguardSettings& from, const WireguardSettings& to) {
  auto config = read_secrets(to);
  if (!config) return tl::unexpected(config.error());
  auto done = service_->configure(difference(std::move(*config), from.device));
  if (done) done = change_tun(service_->interface().device(), from.tun, to.tun);
  return done;
}

// What is the same is not said again: sessions go on, and peers stay where they have roamed to.
DeviceConfig WireguardNode::difference(DeviceConfig wanted, const DeviceConfig& former) const {
  if (wanted.listen_port == former.listen_port) wanted.listen_port.reset();
  std::map<crypto::PublicKey, const PeerConfig*> before;
  for (const auto& peer : former.peers) before[peer.public_key] = &peer;
  std::set<crypto::PublicKey> stay;
  for (auto& peer : wanted.peers) {
    stay.insert(peer.public_key);
    const auto known = before.find(peer.public_key);
    if (known == before.end() || known->second->endpoint != peer.endpoint ||
        known->second->endpoint_name != peer.endpoint_name)
      continue;
    peer.endpoint.reset();
    peer.endpoint_name.reset();
  }
  wanted.replace_peers = false;
  std::vector<PeerConfig> changes;
  service_->interface().for_each_peer([&](const PeerStatus& peer) {
    if (stay.contains(peer.public_key)) return;
    auto& gone = changes.emplace_back();
    gone.public_key = peer.public_key;
    gone.remove = true;
  });
  std::ranges::move(wanted.peers, std::back_inserter(changes));
  wanted.peers = std::move(changes);
  return wanted;
}

std::vector<std::pair<std::string, std::string>> WireguardNode::details() const {
  if (!service_) return {{"error", "its device or its socket was deleted"}};
  auto details = service_->details();
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::size_t count = 0;
  service_->interface().for_each_peer([&](const PeerStatus& peer) {
    if (++count <= shown_peers)
      details.emplace_back("peer " + key_text(peer.public_key), describe(peer, now));
  });
  if (count > shown_peers)
    details.emplace_back("more peers", fmt::format("{}: `wg show {}` has them all",
                                                   count - shown_peers, settings_.tun.name));
  return details;
}

}  // namespace

namespace {

Result<> read_config_secrets(const std::string& path, DeviceConfig& config) {
  const auto text = read_secret_file(path);
  if (!text) return tl::unexpected(text.error());
  const auto file = wireguard::parse_config_file(*text, path);
  if (!file) return tl::unexpected(file.error());
  config.private_key = file->device.private_key;
  std::map<crypto::PublicKey, const PeerConfig*> peers;
  for (const auto& peer : file->device.peers) peers[peer.public_key] = &peer;
  for (auto& peer : config.peers)
    if (const auto* there = peers[peer.public_key]) peer.preshared_key = there->preshared_key;
  return {};
}

Result<> read_key_files(const WireguardSettings& settings, DeviceConfig& config) {
  const auto key = read_key_file(settings.private_key_file);
  if (!key) return tl::unexpected(key.error());
  config.private_key = *key;
  for (std::size_t i = 0; i < config.peers.size(); ++i) {
    if (settings.preshared_key_files[i].empty()) continue;
    const auto preshared = read_key_file(settings.preshared_key_files[i]);
    if (!preshared) return tl::unexpected(preshared.error());
    config.peers[i].preshared_key = *preshared;
  }
  return {};
}

}  // namespace

Result<DeviceConfig> read_secrets(const WireguardSettings& settings) {
  auto config = settings.device;
  const auto done = settings.config_file.empty()
                        ? read_key_files(settings, config)
                        : read_config_secrets(settings.config_file, config);
  if (!done) return tl::unexpected(done.error());
  // What a file does not name is none, also where there was one before.
  for (auto& peer : config.peers) {
    peer.replace_allowed_ips = true;
    if (!peer.preshared_key) peer.preshared_key.emplace();
    if (!peer.persistent_keepalive) peer.persistent_keepalive = 0;
  }
  return config;
}

std::array<std::uint8_t, 32> fingerprint_of(const DeviceConfig& config) {
  crypto::Blake2s hash;
  if (config.private_key) hash.update(*config.private_key);
  for (const auto& peer : config.peers)
    if (peer.preshared_key) hash.update(*peer.preshared_key);
  std::array<std::uint8_t, 32> out;
  hash.finish(out.data());
  return out;
}

std::vector<Route> routes_of(const DeviceConfig& config) {
  std::vector<Route> routes;
  std::set<std::string> known;
  for (const auto& peer : config.peers)
    for (const auto& change : peer.allowed_ips) {
      Route route{.destination = change.prefix};
      auto& address = route.destination.address;
      for (unsigned bit = route.destination.length; bit < address.bits(); ++bit)
        address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
      if (known.insert(route.destination.to_string()).second) routes.push_back(route);
    }
  return routes;
}

Result<std::unique_ptr<Node>> WireguardNodeConfig::create(const std::string& name,
                                                          Loop& loop) const {
  auto node = std::make_unique<WireguardNode>(name, settings_, loop);
  if (auto started = node->start(loop); !started) return fail_in(name, started.error());
  return node;
}

}  // namespace warren::tunnel
