/// UDP inside ICMP echo messages, in the kernel: which flows are carried, and through which devices.
///
/// An IcmpCarrier is a view of the state that is pinned for the calling thread's network namespace;
/// there is no daemon, and every command opens one, changes something, and is done:
///
///     auto carrier = IcmpCarrier::open();                             // locks, loads what is missing
///     carrier->with_devices({"eth0"}, {}, [&] { return carrier->add_server(server); });
///
/// It keeps these promises whatever fails in between:
///
///  - A flow is closed before it could leave plain: its devices are attached, and the guard is in
///    place, before its entry makes it a carried flow; the entry goes first when it ends.
///  - What with_devices() attached is detached again where its action fails.
///  - When nothing is configured and no device is attached any more, nothing stays in the kernel.
///
/// Not for several threads. Errors name the flow or the device.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <warren/address.h>
#include <warren/result.h>

#include "carrier/attach.h"
#include "carrier/bpf_pins.h"
#include "carrier/checksum_mode.h"
#include "carrier/icmp_objects.h"
#include "carrier/ticket.h"
#include "linux/netlink.h"

namespace warren::carrier {

/// Packets and bytes of IP packets that were carried.
using IcmpCounts = icmp_counts;

/// Where this host is a client.
struct IcmpServer {
  IpAddress address;
  std::uint16_t port = 0;
  Tag tag;
  std::string name{};  ///< for people

  [[nodiscard]] std::string endpoint() const;  ///< "203.0.113.7:51820"
  friend bool operator==(const IcmpServer&, const IcmpServer&) = default;
};

/// Where this host is a server.
struct IcmpUser {
  std::string name;
  Tag tag;
  std::uint16_t port = 0;
  std::optional<IpPrefix> from{};       ///< sessions only from there
  bool any_first = false;               ///< any packet opens a session, not only WireGuard's
  std::uint32_t max_age_seconds = 300;  ///< without a packet from the client

  friend bool operator==(const IcmpUser&, const IcmpUser&) = default;
};

/// What is not given stays as the device has it, for its flows share it. A device that is not attached
/// begins with automatic checksums and without XDP.
struct IcmpDeviceOptions {
  std::optional<ChecksumMode> checksum{};
  std::optional<bool> xdp{};  ///< where the driver can and nobody else sits there
  Tcx tcx = Tcx::use;

  friend bool operator==(const IcmpDeviceOptions&, const IcmpDeviceOptions&) = default;
};

struct IcmpDeviceState {
  int ifindex = 0;
  std::string name;  ///< empty: it has vanished
  ChecksumChoice checksum;
  std::string egress;   ///< "tcx", "clsact", or "" where somebody detached it
  std::string ingress;  ///< as above, or "xdp"
  std::string detour;
  std::size_t whole_flows = 0;     ///< whose super-packets go whole now, past the detour
  std::vector<std::string> notes;  ///< what a person should know
};

struct IcmpState {
  std::vector<IcmpDeviceState> devices;
  std::vector<std::pair<IcmpServer, IcmpCounts>> servers;
  struct User {
    IcmpUser user;
    IcmpCounts counts;
    std::size_t sessions = 0;  ///< alive
  };
  std::vector<User> users;
  std::map<std::string, std::uint64_t> drops;  ///< by the names of icmp_reasons.h, all of them
  std::size_t sessions = 0;
  std::uint32_t session_capacity = 0;
  bool guarded = false;
  std::string guard_note;  ///< why not, and what follows
};

class IcmpCarrier {
 public:
  /// Makes what is missing.
  [[nodiscard]] static Result<IcmpCarrier> open();
  /// Nothing where there is none in this namespace.
  [[nodiscard]] static Result<std::optional<IcmpCarrier>> find(BpfPins::Access access);
  IcmpCarrier(IcmpCarrier&&) noexcept = default;
  IcmpCarrier& operator=(IcmpCarrier&&) = delete;
  /// Takes away what is left where nothing is configured and attached.
  ~IcmpCarrier();

  /// Attaches the devices, then acts; where either fails, what was attached now is detached.
  Result<> with_devices(const std::vector<std::string>& devices, const IcmpDeviceOptions& options,
                        const std::function<Result<>()>& action);
  /// Attaches a device, or brings one that is attached up to date.
  Result<> attach(const std::string& device, const IcmpDeviceOptions& options);
  /// Of a device that is attached, the index; 0 where it is not, its MTU has changed since, or its
  /// detaching was interrupted.
  [[nodiscard]] int attached_index(const std::string& device) const;
  /// From one device. Flows that are configured stay closed there.
  Result<> detach(const std::string& device);
  /// Forgets devices that have vanished.
  Result<> forget_vanished();
  /// Ends every flow and detaches every device.
  Result<> remove_everything();

  /// The same server with the same tag again is no error.
  Result<> add_server(const IcmpServer& server);
  /// As add_server(), and takes another tag's place without a moment between.
  Result<> set_server(const IcmpServer& server);
  Result<> remove_server(const IcmpServer& server);
  /// With one look through those that stay.
  Result<> remove_servers(const std::vector<IcmpServer>& servers);
  Result<> add_user(const IcmpUser& user);
  /// As add_user(), and takes the place of what this user had before.
  Result<> set_user(const IcmpUser& user);
  Result<> remove_user(const IcmpUser& user);
  /// With one look through the sessions.
  Result<> remove_users(const std::vector<IcmpUser>& users);
  [[nodiscard]] Result<std::vector<IcmpServer>> servers() const;
  [[nodiscard]] Result<std::vector<IcmpUser>> users() const;
  /// One that no user has.
  [[nodiscard]] Result<Tag> free_tag() const;

  /// Names of the devices that are attached and there.
  [[nodiscard]] std::vector<std::string> devices() const;
  [[nodiscard]] Result<IcmpState> state() const;

 private:
  IcmpCarrier(BpfPins pins, netlink::Socket socket, IcmpMaps maps)
      : pins_(std::move(pins)), socket_(std::move(socket)), maps_(std::move(maps)) {}

  [[nodiscard]] IcmpDeviceOptions current_options(int ifindex) const;
  Result<> attach_programs(const netlink::Link& link, int exit, bool xdp, Tcx tcx);
  Result<> give_sign_of_life(int exit);
  Result<> detach_index(int ifindex);
  Result<> guard();
  Result<> mark_port(std::uint16_t port, __u64 icmp_ports::* bits, bool set);
  Result<> unmark_unserved(const std::set<std::uint16_t>& ports);
  [[nodiscard]] bool unused() const;
  [[nodiscard]] IcmpDeviceState device_state(int ifindex, const icmp_device& device) const;
  [[nodiscard]] std::size_t whole_flows(std::uint32_t ifindex) const;
  [[nodiscard]] Result<> add_users_state(
      IcmpState& state, const std::vector<std::pair<icmp_user_key, icmp_user>>& users) const;

  BpfPins pins_;
  mutable netlink::Socket socket_;
  IcmpMaps maps_;
  std::optional<IcmpPrograms> programs_;
  bool changes_ = false;  ///< opened to change something
};

}  // namespace warren::carrier
