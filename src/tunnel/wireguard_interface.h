/// A WireGuard interface that runs: the engine between a TUN device and UDP sockets, on a Loop.
///
///     ┌────────┐ multishot read ┌──────────────────┐ UDP_SEGMENT ┌─────────┐
///     │        │───────────────▶│ segment and seal │────────────▶│         │
///     │  TUN   │ super-packets  ├──────────────────┤ super-      │   UDP   │
///     │ device │◀───────────────│ open, coalesce   │◀────────────│ sockets │
///     └────────┘ writev: the    └──────────────────┘ datagrams   └─────────┘
///                payloads stay
///                where they were opened
///
/// VXLANs of the same process join it by ports of their own (overlay_ports.h).
///
/// Everything happens in the loop's thread, to completion. The device decides: the sockets are open
/// while it is up, and its MTU is the engine's. Setting its addresses and routes is somebody else's
/// work: wg-quick's, or that of the network file. The sockets stay in the namespace in which the
/// interface was made, wherever the device is moved: a namespace that has nothing but the tunnel.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <warren/loop.h>
#include <warren/tun.h>

#include "io/message_batch.h"
#include "io/udp_port.h"
#include "linux/change_watch.h"
#include "tunnel/device_watch.h"
#include "tunnel/device_writer.h"
#include "tunnel/endpoint_names.h"
#include "tunnel/overlay_ports.h"
#include "wireguard/engine.h"

namespace warren::tunnel {

class WireguardInterface final : private wireguard::EngineOutput, private PacketReceiver {
 public:
  struct Options {
    crypto::Aead::Backend aead = crypto::Aead::best();
    /// That encrypt, with the loop's own; 0: as many as suit this machine.
    unsigned threads = 0;
    /// The device is gone, or cannot be read any more; `error` is an errno value.
    std::function<void(int error)> on_device_gone = [](int) {};
  };

  /// The sockets are of the calling thread's namespace.
  [[nodiscard]] static Result<std::unique_ptr<WireguardInterface>> create(Loop& loop, Tun tun,
                                                                          Options options);
  WireguardInterface(const WireguardInterface&) = delete;
  WireguardInterface& operator=(const WireguardInterface&) = delete;
  ~WireguardInterface() override;

  /// Errors carry the errno value that wg(8) is to be told; what came before the mistake holds.
  [[nodiscard]] Result<> configure(const wireguard::DeviceConfig& config);
  [[nodiscard]] wireguard::DeviceStatus status() const;
  template <class Each>
  void for_each_peer(Each&& each) const {
    engine_.for_each_peer(std::forward<Each>(each));
  }
  /// Names and values, as Node::details().
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const;

  /// VXLANs of this process that use it; the ports outlive this, or the next call.
  void set_overlays(std::vector<OverlayPort*> ports) { overlays_.set_ports(std::move(ports)); }

  [[nodiscard]] Tun& device() noexcept { return tun_; }
  [[nodiscard]] const wireguard::Engine& engine() const noexcept { return engine_; }

 private:
  WireguardInterface(Loop& loop, Tun tun, Options options, std::unique_ptr<Pool> pool,
                     crypto::Aead aead);
  [[nodiscard]] Result<> start();
  [[nodiscard]] Result<> set_port(std::uint16_t port);
  [[nodiscard]] Result<> open_sockets(std::uint16_t port);
  void close_sockets() noexcept;
  void follow_device(const netlink::Link& link);
  void review_sources();
  void on_socket(int fd) noexcept;
  void send(Batch& packets) noexcept;
  void arm_timer() noexcept;

  // EngineOutput
  void send_datagrams(wireguard::DatagramBatch& datagrams) noexcept override;
  void deliver_packets(std::span<const std::span<std::byte>> packets) noexcept override;
  void lost_contact(const wireguard::PublicKey& peer) noexcept override;
  // PacketReceiver
  void on_packets(Batch& batch) noexcept override;
  void on_burst_end() noexcept override { engine_.flush(); }
  void on_stream_end(int error) noexcept override;

  Loop& loop_;
  Tun tun_;
  Options options_;
  std::unique_ptr<Pool> pool_;
  wireguard::Engine engine_;
  EndpointNames names_;
  OverlayTraffic overlays_;

  std::unique_ptr<PacketStream> stream_;
  Counters from_device_;
  Counters to_device_counters_;
  DeviceWriter to_device_;

  std::optional<UdpPort> port_;
  bool device_up_ = false;
  std::uint16_t wanted_port_ = 0;  ///< 0: any
  std::uint32_t mark_ = 0;
  std::vector<std::unique_ptr<Loop::Watch>> socket_watches_;
  ReceiveBatch received_;
  std::vector<wireguard::ReceivedDatagram> datagrams_;  ///< in received_
  UdpWriter writer_;
  SendBatch::Outcome sent_;

  DeviceWatch device_watch_;
  Fd home_;  ///< the namespace of the sockets
  std::optional<netlink::Socket> netlink_;
  ChangeWatch routes_;
  Timer protocol_;
};

}  // namespace warren::tunnel
