/// A TUN or TAP device: made or attached, configured, and closed.
///
/// Source: the kernel's Documentation/networking/tuntap.rst and include/uapi/linux/if_tun.h.
/// Errors name the device, the action and the errno text. A Tun may be moved; its methods are for
/// one thread at a time. The queues' descriptors may be read and written by other threads (one
/// reader and one writer each).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <warren/address.h>
#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

namespace netlink {
class Socket;
}

enum class TunMode : std::uint8_t { tun, tap };

struct TunConfig {
  TunMode mode = TunMode::tun;
  std::string name;  ///< empty, or with "%d": the kernel chooses. At most 15 bytes.
  /// Make the device in this network namespace: a name of `ip netns`, or a path.
  std::string netns;
  std::vector<IpPrefix> addresses;
  std::optional<std::uint32_t> mtu{};
  std::optional<MacAddress> mac{};       ///< TAP only
  unsigned queues = 1;                   ///< more than one: several readers, which reorder a flow
  std::optional<std::uint32_t> owner{};  ///< uid that may attach without privileges
  std::optional<std::uint32_t> group{};
  std::optional<std::uint32_t> tx_queue_length{};
  bool persist = false;  ///< the device outlives the process
  bool up = true;
  /// Packets carry an OffloadHeader; checksum, TSO4/6 and USO4/6 where the kernel has them.
  bool offload = false;
  std::vector<Route> routes;

  friend bool operator==(const TunConfig&, const TunConfig&) = default;
};

/// What the kernel agreed to leave undone in packets that it hands us.
struct TunOffloads {
  bool header = false;  ///< an OffloadHeader stands before each packet, both ways
  bool checksum = false;
  bool tso4 = false;
  bool tso6 = false;
  bool uso = false;  ///< kernel 6.2 and newer

  friend bool operator==(const TunOffloads&, const TunOffloads&) = default;
};

class Tun {
 public:
  /// Makes the device, or attaches to an existing one of that name, and applies the whole
  /// configuration. On failure nothing is left behind.
  [[nodiscard]] static Result<Tun> open(const TunConfig& config);
  /// Takes over a descriptor that another program opened (TUNSETIFF done). Its offloads are as
  /// `offload` asks, where the descriptor carries the header (IFF_VNET_HDR); addresses and the like
  /// are left as they are.
  [[nodiscard]] static Result<Tun> adopt(Fd fd, bool offload);

  /// The device's name as the kernel has it now, also after it was renamed.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] TunMode mode() const { return mode_; }
  [[nodiscard]] TunOffloads offloads() const { return offloads_; }
  [[nodiscard]] std::size_t queue_count() const { return queues_.size(); }
  /// The non-blocking descriptor of queue `index`, owned by this object.
  [[nodiscard]] int fd(std::size_t index = 0) const { return queues_[index].get(); }

  /// The namespace that the device is in now, wherever it was moved.
  [[nodiscard]] Result<Fd> netns() const;

  // The device as the kernel has it now; each asks or tells over netlink, in the namespace that the
  // device is in, also after it was moved to another.
  [[nodiscard]] Result<std::uint32_t> mtu() const;
  [[nodiscard]] Result<std::vector<IpPrefix>> addresses() const;
  Result<> set_mtu(std::uint32_t mtu);
  Result<> set_mac(const MacAddress& mac);
  Result<> set_tx_queue_length(std::uint32_t packets);
  Result<> set_up(bool up);
  Result<> add_address(const IpPrefix& address);
  Result<> remove_address(const IpPrefix& address);
  /// A route that is there already is no error.
  Result<> add_route(const Route& route);
  Result<> remove_route(const Route& route);
  Result<> set_persist(bool persist);

 private:
  Tun() = default;
  [[nodiscard]] Result<> configure(const TunConfig& config);
  template <class Action>
  auto with_netlink(Action&& action) const
      -> decltype(action(std::declval<netlink::Socket&>(), std::string_view{}));

  TunMode mode_ = TunMode::tun;
  TunOffloads offloads_;
  std::vector<Fd> queues_;
};

}  // namespace warren
