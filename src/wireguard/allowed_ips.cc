#include "wireguard/allowed_ips.h"

#include <algorithm>

#include "wire/bytes.h"

namespace warren::wireguard {

namespace {

Ipv4Bits ipv4_bits(const std::byte* address) noexcept { return {wire::load32(address)}; }

Ipv6Bits ipv6_bits(const std::byte* address) noexcept {
  const auto half = [&](std::size_t at) {
    return std::uint64_t{wire::load32(address + at)} << 32 | wire::load32(address + at + 4);
  };
  return {half(0), half(8)};
}

const std::byte* bytes_of(const IpAddress& address) noexcept {
  return std::as_bytes(std::span(address.bytes)).data();
}

/// Without the bits behind its length.
IpPrefix network_of(IpPrefix prefix) {
  auto& bytes = prefix.address.bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto bits =
        std::clamp<int>(static_cast<int>(prefix.length) - 8 * static_cast<int>(i), 0, 8);
    bytes[i] &= static_cast<std::uint8_t>(0xff00U >> bits);
  }
  return prefix;
}

}  // namespace

void AllowedIps::insert(const IpPrefix& prefix, PeerId peer) {
  const auto network = network_of(prefix);
  const auto* address = bytes_of(network.address);
  const auto change_owner = [&](auto& table, auto bits) {
    const auto former = table.owner(bits, network.length);
    if (former == peer) return false;
    if (former != no_peer) std::erase(by_peer_[former], network);
    table.set(bits, network.length, peer);
    return true;
  };
  if (by_peer_.size() <= peer) by_peer_.resize(std::size_t{peer} + 1);
  if (network.address.ipv6 ? change_owner(ipv6_, ipv6_bits(address))
                           : change_owner(ipv4_, ipv4_bits(address)))
    by_peer_[peer].push_back(network);
}

bool AllowedIps::remove(const IpPrefix& prefix, PeerId peer) {
  const auto network = network_of(prefix);
  if (peer >= by_peer_.size() || std::erase(by_peer_[peer], network) == 0) return false;
  forget(network);
  return true;
}

void AllowedIps::remove_peer(PeerId peer) {
  if (peer >= by_peer_.size()) return;
  for (const auto& prefix : by_peer_[peer]) forget(prefix);
  by_peer_[peer] = {};
}

void AllowedIps::forget(const IpPrefix& network) {
  const auto* address = bytes_of(network.address);
  if (network.address.ipv6)
    ipv6_.erase(ipv6_bits(address), network.length);
  else
    ipv4_.erase(ipv4_bits(address), network.length);
}

std::span<const IpPrefix> AllowedIps::of(PeerId peer) const noexcept {
  if (peer >= by_peer_.size()) return {};
  return by_peer_[peer];
}

PeerId AllowedIps::find(std::span<const std::byte, 4> ipv4) const noexcept {
  return ipv4_.find(ipv4_bits(ipv4.data()));
}

PeerId AllowedIps::find(std::span<const std::byte, 16> ipv6) const noexcept {
  return ipv6_.find(ipv6_bits(ipv6.data()));
}

PeerId AllowedIps::find(const IpAddress& address) const noexcept {
  const auto* bytes = bytes_of(address);
  return address.ipv6 ? ipv6_.find(ipv6_bits(bytes)) : ipv4_.find(ipv4_bits(bytes));
}

}  // namespace warren::wireguard
