/// The sockets of one UDP port that carries VXLANs: those of this process share it, as the kernel's do.
///
///     UDP 4789 ── VNI 8 ──▶ vx8
///              ── VNI 9 ──▶ vx9         messages of other networks are dropped
///
/// For the thread of the loop.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <warren/counters.h>
#include <warren/loop.h>
#include <warren/result.h>

#include "io/udp_port.h"
#include "overlay/vxlan.h"

namespace warren::tunnel {

class VxlanSockets {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    /// Messages of its network only.
    virtual void receive_datagrams(std::span<const overlay::ReceivedVxlan> datagrams) noexcept = 0;
    /// Everything that was ready has been delivered.
    virtual void end_burst() noexcept = 0;
  };

  /// In the calling thread's namespace; those that this loop has there already are shared. Errors
  /// carry the errno value.
  [[nodiscard]] static Result<std::shared_ptr<VxlanSockets>> open(Loop& loop, std::uint16_t port);
  /// A port that is only sent from, whichever is free.
  [[nodiscard]] static Result<UdpPort> open_source();
  VxlanSockets(const VxlanSockets&) = delete;
  VxlanSockets& operator=(const VxlanSockets&) = delete;

  /// What comes for this network over this family is the receiver's. Fails where it is another's.
  [[nodiscard]] Result<> add(std::uint32_t vni, bool ipv6, Receiver& receiver);
  void remove(const Receiver& receiver) noexcept;

  [[nodiscard]] const UdpPort& port() const noexcept { return port_; }
  /// Messages of networks that nobody here has.
  [[nodiscard]] const Counters& strangers() const noexcept { return strangers_; }

 private:
  struct Network {
    std::uint32_t vni;
    bool ipv6;
    Receiver* receiver;
  };

  VxlanSockets(Loop& loop, UdpPort port) : loop_(loop), port_(std::move(port)) {
    datagrams_.reserve(2 * ReceiveBatch::capacity);
  }
  [[nodiscard]] Result<> watch();
  void on_socket(int fd, bool ipv6) noexcept;
  void sort(const overlay::ReceivedVxlan& datagram, bool ipv6) noexcept;
  void add_pending(Receiver* receiver, const overlay::ReceivedVxlan& datagram) noexcept;
  void deliver_pending() noexcept;
  [[nodiscard]] Receiver* find(std::span<const std::byte> message, bool ipv6) const noexcept;

  Loop& loop_;
  UdpPort port_;
  std::vector<std::unique_ptr<Loop::Watch>> watches_;
  std::vector<Network> networks_;
  ReceiveBatch received_;
  Receiver* pending_for_ = nullptr;  ///< whose datagrams_ are
  std::vector<overlay::ReceivedVxlan> datagrams_;
  Counters strangers_;
};

}  // namespace warren::tunnel
