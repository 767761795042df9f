/// Which peer an address belongs to: where packets to it go, and who may send packets from it
/// ("cryptokey routing", section 2 of the WireGuard paper).
///
/// Of overlapping prefixes the longest decides. A prefix belongs to one peer: who gets it last takes
/// it from whoever had it, as in the kernel.
#pragma once

#include <span>
#include <vector>

#include <warren/address.h>

#include "wireguard/prefix_table.h"

namespace warren::wireguard {

class AllowedIps {
 public:
  /// Bits behind the prefix length are ignored; prefix.length <= prefix.address.bits().
  void insert(const IpPrefix& prefix, PeerId peer);
  /// False where the prefix is not this peer's.
  bool remove(const IpPrefix& prefix, PeerId peer);
  void remove_peer(PeerId peer);

  /// In the order in which the peer got them. Valid until the next change.
  [[nodiscard]] std::span<const IpPrefix> of(PeerId peer) const noexcept;

  /// The peer, or no_peer. Addresses as they lie in packets.
  [[nodiscard]] PeerId find(std::span<const std::byte, 4> ipv4) const noexcept;
  [[nodiscard]] PeerId find(std::span<const std::byte, 16> ipv6) const noexcept;
  [[nodiscard]] PeerId find(const IpAddress& address) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return ipv4_.size() + ipv6_.size(); }

 private:
  void forget(const IpPrefix& network);

  PrefixTable<Ipv4Bits> ipv4_;
  PrefixTable<Ipv6Bits> ipv6_;
  std::vector<std::vector<IpPrefix>> by_peer_;
};

}  // namespace warren::wireguard
