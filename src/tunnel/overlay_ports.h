/// Ports of a WireGuard interface for VXLANs of this process: messages pass between the two nodes
/// without a trip through the kernel.
///
///     vx8 ── super-packets behind outer headers ──▶ OverlayPort ──▶ Engine ── sealed ──▶ UDP
///     vx8 ◀── packets where they were opened ────── OverlayPort ◀── Engine ◀──────────── UDP
///                                                   everything else ──▶ the device
///
/// What the peers send to the VXLAN's address, port and number is the port's; all else, and fragments,
/// go to the device, where the kernel gives them to the VXLAN's socket. What is too large for the
/// interface's MTU is fragmented, as the kernel would.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include <warren/address.h>

#include "core/port.h"
#include "wireguard/engine.h"

namespace warren::tunnel {

struct OverlaySettings {
  std::string name;  ///< of the port
  IpAddress local;   ///< that messages are sent to
  std::uint16_t port = 0;
  std::uint32_t vni = 0;

  friend bool operator==(const OverlaySettings&, const OverlaySettings&) = default;
};

class OverlayTraffic;

class OverlayPort final : public Port {
 public:
  explicit OverlayPort(OverlaySettings settings)
      : Port(settings.name), settings_(std::move(settings)) {}

  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capabilities::super_packets_in_tunnels();
  }
  [[nodiscard]] Capabilities emits() const noexcept override { return {.medium = Medium::ip}; }
  void receive(Batch& batch) noexcept override;

  /// Null: the interface is gone.
  void attach(OverlayTraffic* traffic) noexcept { traffic_ = traffic; }
  /// The name stays.
  void change(const OverlaySettings& settings) { settings_ = settings; }
  [[nodiscard]] const OverlaySettings& settings() const noexcept { return settings_; }

 private:
  friend class OverlayTraffic;

  OverlaySettings settings_;
  OverlayTraffic* traffic_ = nullptr;
  std::array<std::span<std::byte>, wireguard::Engine::max_delivered> taken_;
  std::size_t taken_count_ = 0;
};

/// What an interface has to do with its ports. For the thread of the loop.
class OverlayTraffic {
 public:
  /// `send` gives packets to the engine. `pool` gives fragments, and copies for those who do not
  /// borrow.
  OverlayTraffic(Pool& pool, std::function<void(Batch&)> send)
      : pool_(pool), send_(std::move(send)) {}
  OverlayTraffic(const OverlayTraffic&) = delete;
  OverlayTraffic& operator=(const OverlayTraffic&) = delete;
  ~OverlayTraffic() { set_ports({}); }

  /// They outlive this, or the next call.
  void set_ports(std::vector<OverlayPort*> ports);
  void set_mtu(std::size_t mtu) noexcept { mtu_ = mtu; }
  /// That were made of what was too large.
  [[nodiscard]] std::uint64_t fragments() const noexcept { return fragments_.value(); }

  /// Packets for the peers. While the engine receives they wait, since it may not be called.
  void send(OverlayPort& from, Batch& batch) noexcept;
  void engine_receives(bool yes) noexcept;

  /// True where the packet is for a port: it is delivered with the others, and stays where it is
  /// until then. At most Engine::max_delivered in between.
  [[nodiscard]] bool take(std::span<std::byte> packet) noexcept {
    return !ports_.empty() && take_for_port(packet);
  }
  void deliver() noexcept;
  void end_burst() noexcept;

 private:
  static constexpr std::size_t waiting_batches = 8;

  [[nodiscard]] bool take_for_port(std::span<std::byte> packet) noexcept;
  void deliver_to(OverlayPort& port) noexcept;
  [[nodiscard]] bool fits(std::span<const std::byte> packet, const OffloadHeader& offload) noexcept;
  void send_fragments(OverlayPort& from, const Packet& packet, Batch& out) noexcept;
  void fragment(OverlayPort& from, std::span<const std::byte> packet, Batch& out) noexcept;

  Pool& pool_;
  std::function<void(Batch&)> send_;
  std::vector<OverlayPort*> ports_;
  std::size_t mtu_ = 1420;
  std::uint32_t next_id_ = 1;
  Counter fragments_;
  bool engine_receives_ = false;
  std::array<Batch, waiting_batches> waiting_;
  std::size_t waiting_count_ = 0;
};

}  // namespace warren::tunnel
