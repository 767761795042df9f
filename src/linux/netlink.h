/// Links, addresses and routes of one network namespace, over rtnetlink.
///
/// Source: rtnetlink(7), the kernel's include/uapi/linux/rtnetlink.h and if_link.h.
/// Errors name the object, the action, the errno text and the kernel's own explanation where it
/// gives one (NETLINK_EXT_ACK). A Socket is for one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warren/address.h>
#include <warren/fd.h>
#include <warren/result.h>

struct nlmsghdr;

namespace warren::netlink {

/// Of the loopback device, in every network namespace.
inline constexpr int loopback_index = 1;

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  ///< "veth", "tun", "bridge"; empty for hardware and loopback
  std::uint32_t mtu = 0;
  std::uint32_t tx_queue_length = 0;
  std::uint16_t type = 0;  ///< ARPHRD_* of <linux/if_arp.h>
  MacAddress mac;
  bool up = false;       ///< administratively
  bool running = false;  ///< and has a carrier
  int master = 0;        ///< index of the bridge whose port it is, or 0
  int lower = 0;         ///< index of the device that it is bound to, or 0
  std::string alias;     ///< a note for people; see set_alias()
};

/// Both ends of a veth pair.
struct VethConfig {
  std::string name;
  std::string peer_name;
  std::optional<int> peer_netns{};  ///< descriptor of the namespace in which the peer is made
  std::optional<std::uint32_t> mtu{};
  std::optional<MacAddress> mac{};
  std::optional<MacAddress> peer_mac{};
  std::optional<unsigned> queues{};  ///< of both ends, both directions
};

/// A macvlan in private mode: what it sends leaves through `lower`, and it receives nothing from its
/// siblings.
struct MacvlanConfig {
  std::string name;
  std::string lower;
  std::uint32_t mtu = 1500;
  std::uint32_t gso_max_segments = 65535;  ///< of a super-packet that is sent on unsegmented
  std::uint32_t gso_max_size = 65536;      ///< bytes of one
};

/// Where packets to an address would leave, as the kernel's routing rules decide now.
struct RouteTo {
  int device = 0;                      ///< index of the link
  std::optional<IpAddress> source{};   ///< the address they would leave from
  std::optional<IpAddress> gateway{};  ///< none: the destination is on the link
};

struct BridgeConfig {
  std::string name;
  bool stp = false;
  std::optional<MacAddress> mac{};
};

/// A VXLAN device without multicast: whom it floods to is in its forwarding table (add_fdb()).
struct VxlanConfig {
  std::string name;
  std::uint32_t vni = 0;
  std::uint16_t port = 4789;
  std::optional<IpAddress> local{};  ///< source address of what it sends; decides the family
  bool ipv6 = false;                 ///< where there is no local address
  int lower = 0;                     ///< index of the device to bind to; 0: none
  bool learning = true;
  std::uint8_t tos = 0;  ///< of outer headers; 1: that of the frame
  std::optional<MacAddress> mac{};
  std::optional<std::uint32_t> mtu{};

  friend bool operator==(const VxlanConfig&, const VxlanConfig&) = default;
};

/// An entry of a VXLAN device's forwarding table: frames for `mac` go to `to`. Several entries for
/// 00:00:00:00:00:00 are whom it floods to (head-end replication).
struct FdbEntry {
  MacAddress mac;
  std::optional<IpAddress> to{};
  int device = 0;          ///< on which it is
  bool permanent = false;  ///< told, not learned
  friend bool operator==(const FdbEntry&, const FdbEntry&) = default;
};

/// A route in any table.
struct TableRoute {
  Route route;
  std::uint32_t table = 254;  ///< main
  int device = 0;             ///< index; 0 where the gateway tells
  std::uint8_t protocol = 0;  ///< RTPROT_* of <linux/rtnetlink.h>: who made it
  bool onlink = false;        ///< the gateway is on the link whatever the addresses say
};

/// A policy rule: packets that fit are looked up in `table`.
struct Rule {
  bool ipv6 = false;
  std::optional<std::uint32_t> priority{};
  std::uint32_t table = 254;
  std::optional<IpPrefix> from{};
  std::optional<IpPrefix> to{};
  std::optional<std::uint32_t> mark{};
  std::uint32_t mask = 0xffffffff;
  std::string in_device{};
  std::string out_device{};
  friend bool operator==(const Rule&, const Rule&) = default;
};

class Message;

class Socket {
 public:
  /// Talks to the namespace that the calling thread is in now, also when the thread goes elsewhere
  /// later.
  [[nodiscard]] static Result<Socket> open();
  /// The same for a namespace by name or path, as open_netns() reads it.
  [[nodiscard]] static Result<Socket> open(std::string_view netns);
  /// The same for a namespace by descriptor.
  [[nodiscard]] static Result<Socket> open(int netns);

  [[nodiscard]] Result<std::vector<Link>> links();
  [[nodiscard]] Result<Link> link(std::string_view name);
  [[nodiscard]] Result<Link> link(int index);
  [[nodiscard]] Result<int> index(std::string_view name);

  Result<> create_veth(const VethConfig& config);
  Result<> create_macvlan(const MacvlanConfig& config);
  Result<> delete_link(std::string_view name);
  /// Moves the link to another namespace, where it is down and has no address; optionally under a
  /// new name.
  Result<> move_link(std::string_view name, int netns, std::string_view new_name = {});
  Result<> rename_link(std::string_view name, std::string_view new_name);
  Result<> set_up(std::string_view name, bool up);
  Result<> set_mtu(std::string_view name, std::uint32_t mtu);
  Result<> set_mac(std::string_view name, const MacAddress& mac);
  Result<> set_tx_queue_length(std::string_view name, std::uint32_t packets);
  /// The kernel gives the link no IPv6 address by itself, so that it sends nothing by itself.
  Result<> set_no_ipv6_address(std::string_view name);

  [[nodiscard]] Result<std::vector<IpPrefix>> addresses(std::string_view name);
  /// The first of that family that other links can answer to, which IPv6's link-local ones are not.
  [[nodiscard]] Result<std::optional<IpAddress>> first_address(std::string_view name, bool ipv6);
  /// IPv6 addresses are usable at once: duplicate address detection is left out.
  Result<> add_address(std::string_view name, const IpPrefix& address);
  Result<> remove_address(std::string_view name, const IpPrefix& address);

  /// A route through the link `name`, in the main table.
  Result<> add_route(std::string_view name, const Route& route);
  Result<> remove_route(std::string_view name, const Route& route);
  /// Asks the kernel for its decision, with all its rules and tables; for packets with `mark`.
  [[nodiscard]] Result<RouteTo> route_to(const IpAddress& destination, std::uint32_t mark = 0);
  /// The links of the IPv4 and IPv6 default routes of the main table, each once.
  [[nodiscard]] Result<std::vector<int>> default_route_devices();

  // Bridges and VXLAN.
  Result<> create_bridge(const BridgeConfig& config);
  Result<> create_vxlan(const VxlanConfig& config);
  /// Another source address, of the same family.
  Result<> set_vxlan_local(std::string_view name, const IpAddress& local);
  /// As the kernel has it now.
  [[nodiscard]] Result<VxlanConfig> vxlan(std::string_view name);
  /// `master` empty: the port of no bridge.
  Result<> set_master(std::string_view name, std::string_view master);
  Result<> set_alias(std::string_view name, std::string_view alias);
  Result<> add_fdb(std::string_view name, const FdbEntry& entry);
  Result<> remove_fdb(std::string_view name, const FdbEntry& entry);
  /// Those of one device; of a bridge, those of all its ports.
  [[nodiscard]] Result<std::vector<FdbEntry>> fdb(std::string_view name);

  // Policy routing.
  Result<> add_route(const TableRoute& route);
  Result<> remove_route(const TableRoute& route);
  /// Unicast routes of one family, in all tables but the local one.
  [[nodiscard]] Result<std::vector<TableRoute>> routes(bool ipv6);
  Result<> add_rule(const Rule& rule);
  Result<> remove_rule(const Rule& rule);
  [[nodiscard]] Result<std::vector<Rule>> rules(bool ipv6);

  /// How many traffic control filters hang on `parent` (TC_H_MAKE…) of a link.
  [[nodiscard]] Result<std::size_t> count_filters(int index, std::uint32_t parent);

 private:
  explicit Socket(Fd fd) : fd_(std::move(fd)) {}

  Result<> change_link(std::string_view name, const std::string& action, Message& message);
  Result<> change_address(std::string_view name, const IpPrefix& address, bool add);
  Result<> change_route(std::string_view name, const Route& route, bool add);
  Result<> change_route(const TableRoute& route, bool add);
  Result<> change_rule(const Rule& rule, bool add);
  Result<> change_fdb(std::string_view name, const FdbEntry& entry, bool add);
  /// Sends the request and calls `each` with every answer until the kernel acknowledges.
  Result<> request(Message& message, const std::function<void(const nlmsghdr*)>& each);
  Result<> request(Message& message);
  Result<std::size_t> receive(char* buffer, std::size_t size);

  Fd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace warren::netlink
