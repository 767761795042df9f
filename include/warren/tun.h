/// A TUN or TAP device: made or attached, configured, and closed.
///
/// Source: the kernel's Documentation/networking/tuntap.rst and include/uapi/linux/if_tun.h.
/// Errors name the device, the action and the errno text. A Tun may be moved; its methods are for
/// one thread at a time. The queues' descriptors may be read and written by other threads (one
/// reader and one writer each).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

/// An IPv4 or IPv6 address in network byte order.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  ///< IPv4 uses the first four
  bool ipv6 = false;

  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] unsigned bits() const { return ipv6 ? 128 : 32; }
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// An address with the length of its network: "10.0.1.1/24". As an interface's address the host
/// bits stay.
struct IpPrefix {
  IpAddress address;
  unsigned length = 0;

  [[nodiscard]] static Result<IpPrefix> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static Result<MacAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const MacAddress&, const MacAddress&) = default;
};

struct Route {
  IpPrefix destination;
  std::optional<IpAddress> via;
  std::optional<std::uint32_t> metric;

  friend bool operator==(const Route&, const Route&) = default;
};

enum class TunMode : std::uint8_t { tun, tap };

struct TunConfig {
  TunMode mode = TunMode::tun;
  std::string name;  ///< empty, or with "%d": the kernel chooses. At most 15 bytes.
  std::string
      netns;  ///< make the device in this network namespace: a name of `ip netns`, or a path
  std::vector<IpPrefix> addresses;
  std::optional<std::uint32_t> mtu;
  std::optional<MacAddress> mac;       ///< TAP only
  unsigned queues = 1;                 ///< more than one: several readers, which reorder a flow
  std::optional<std::uint32_t> owner;  ///< uid that may attach without privileges
  std::optional<std::uint32_t> group;
  std::optional<std::uint32_t> tx_queue_length;
  bool persist = false;  ///< the device outlives the process
  bool up = true;
  bool offload = false;  ///< packets carry an OffloadHeader; checksum, TSO4/6 and USO4/6 where the
                         ///< kernel has them
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

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] TunMode mode() const { return mode_; }
  [[nodiscard]] TunOffloads offloads() const { return offloads_; }
  [[nodiscard]] std::size_t queue_count() const { return queues_.size(); }
  /// The non-blocking descriptor of queue `index`, owned by this object.
  [[nodiscard]] int fd(std::size_t index = 0) const { return queues_[index].get(); }

  // The device as the kernel has it now; each asks or tells over netlink, in the device's
  // namespace.
  [[nodiscard]] Result<std::uint32_t> mtu() const;
  [[nodiscard]] Result<std::vector<IpPrefix>> addresses() const;
  Result<> set_mtu(std::uint32_t mtu);
  Result<> set_mac(const MacAddress& mac);
  Result<> set_tx_queue_length(std::uint32_t packets);
  Result<> set_up(bool up);
  Result<> add_address(const IpPrefix& address);
  Result<> remove_address(const IpPrefix& address);
  Result<> add_route(const Route& route);
  Result<> remove_route(const Route& route);
  Result<> set_persist(bool persist);

 private:
  Tun() = default;

  std::string name_;
  std::string netns_;
  TunMode mode_ = TunMode::tun;
  TunOffloads offloads_;
  std::vector<Fd> queues_;
};

}  // namespace warren
