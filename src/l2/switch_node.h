/// An Ethernet switch as a node: it learns who is behind which port, and floods the rest.
///
///       a ──▶ receive() ─ learn the source, look the destination up ─▶ a batch for each port ──▶ b
///                                                                                            ──▶ c
///
/// As IEEE 802.1Q's relay without VLANs or spanning tree (tags pass untouched, all in one table): a
/// frame never leaves by the port that it came in by; frames for the bridge's own line
/// (01:80:c2:00:00:01 to 0f) stay on it. The circle that such a switch cannot bear is noticed among
/// the links of this graph, not outside.
///
/// The ports take and emit everything: a super-packet passes whole to every port whose peer takes it,
/// and the graph cuts it up in front of the others. A batch that comes in leaves as one batch for each
/// port that gets any of it. Flooded frames are copied, so that no two ports share a buffer.
#pragma once

#include <string>
#include <vector>

#include <warren/address.h>

#include "core/node.h"
#include "l2/mac_table.h"

namespace warren::l2 {

/// `[switch.NAME]`
struct SwitchSettings {
  /// An address that is always behind one port.
  struct StaticAddress {
    MacAddress mac;
    std::string port;
    friend bool operator==(const StaticAddress&, const StaticAddress&) = default;
  };
  static constexpr std::size_t max_ports = 1024;

  std::vector<std::string> ports;       ///< 1 to max_ports, all different
  std::vector<std::string> isolated{};  ///< of the ports: these do not talk to each other
  std::vector<StaticAddress> addresses{};
  MacTable::Limits table{};

  friend bool operator==(const SwitchSettings&, const SwitchSettings&) = default;
};

class SwitchNodeConfig final : public NodeConfigOf<SwitchSettings> {
 public:
  using NodeConfigOf::NodeConfigOf;

  [[nodiscard]] std::string_view kind() const noexcept override { return "switch"; }
  /// Fails where the settings contradict themselves.
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
};

}  // namespace warren::l2
