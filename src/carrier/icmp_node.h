/// `[icmp.NAME]`: a flow of the ICMP carrier that `warren up` keeps going. A node without ports.
///
/// The kernel does the carrying. The node looks after what changes: devices that vanish and return,
/// routes that move, and names whose address changes. It removes its flow when it goes; where the
/// process is killed, the flow stays in the kernel as it is, and the next start takes it over.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "carrier/icmp_carrier.h"
#include "carrier/ticket.h"
#include "core/node.h"

namespace warren::carrier {

/// What the ticket says is carried.
struct IcmpTarget {
  Ticket ticket;
  std::chrono::nanoseconds lookup_interval = std::chrono::minutes(1);  ///< of a host's name
  friend bool operator==(const IcmpTarget&, const IcmpTarget&) = default;
};

struct IcmpNodeSettings {
  std::string netns;                 ///< as open_netns() reads it
  std::vector<std::string> devices;  ///< empty: those of the routes
  IcmpDeviceOptions options;
  std::uint32_t mark = 0;  ///< of the client's packets, by which their route is chosen
  std::variant<IcmpTarget, std::vector<IcmpUser>> role;

  friend bool operator==(const IcmpNodeSettings&, const IcmpNodeSettings&) = default;
};

class IcmpNodeConfig final : public NodeConfigOf<IcmpNodeSettings> {
 public:
  using NodeConfigOf::NodeConfigOf;

  [[nodiscard]] std::string_view kind() const noexcept override { return "icmp"; }
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
};

}  // namespace warren::carrier
