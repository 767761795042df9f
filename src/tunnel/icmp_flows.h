/// The datagrams of a WireGuard interface inside ICMP: flows of the kernel's carrier, which come and go
/// with the interface (carrier/icmp_node.h).
///
/// What goes to a server leaves as echo requests; what comes from users with tags arrives at the
/// interface's port. Each is closed to plain UDP as long as the interface lives.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "carrier/icmp_node.h"

namespace warren::tunnel {

struct IcmpFlowsSettings {
  std::vector<std::string> devices;  ///< empty: those of the routes
  carrier::IcmpDeviceOptions options{};
  std::vector<carrier::IcmpTarget> servers{};
  std::vector<carrier::IcmpUser> users{};  ///< `port` is the interface's

  friend bool operator==(const IcmpFlowsSettings&, const IcmpFlowsSettings&) = default;
};

/// For the thread of the loop.
class IcmpFlows {
 public:
  /// `name` is the interface's. `port` 0: there is none yet, and no user is served.
  [[nodiscard]] static Result<std::unique_ptr<IcmpFlows>> create(Loop& loop, std::string name,
                                                                 IcmpFlowsSettings settings,
                                                                 std::uint16_t port,
                                                                 std::uint32_t mark);

  /// Follows the interface's port and mark; call it before packets leave with them. Where it fails, what
  /// was stays.
  Result<> move(std::uint16_t port, std::uint32_t mark);
  /// Names and values, as Node::details().
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const;

 private:
  IcmpFlows(Loop& loop, std::string name, IcmpFlowsSettings settings)
      : loop_(loop), name_(std::move(name)), settings_(std::move(settings)) {}
  /// One for each server, and one for all users.
  [[nodiscard]] std::vector<carrier::IcmpNodeConfig> wanted(std::uint16_t port,
                                                            std::uint32_t mark) const;

  Loop& loop_;
  std::string name_;
  IcmpFlowsSettings settings_;
  std::uint16_t port_ = 0;
  std::uint32_t mark_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace warren::tunnel
