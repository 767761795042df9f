/// A TUN or TAP device as a node with one port.
///
/// Super-packets pass through it untouched, with their offload header, both ways: the packet that
/// the kernel hands over is the packet that the peer gets.
#pragma once

#include <memory>

#include <warren/tun.h>

#include "core/node.h"

namespace warren {

/// `[tun.NAME]`; an empty device name in `tun` means the node's name.
class TunNodeConfig final : public NodeConfigOf<TunConfig> {
 public:
  using NodeConfigOf::NodeConfigOf;

  [[nodiscard]] std::string_view kind() const noexcept override { return "tun"; }
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
};

}  // namespace warren
