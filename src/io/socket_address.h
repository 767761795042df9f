/// An address and port as sockets take them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include <warren/address.h>

namespace warren {

/// As it stands in a header.
[[nodiscard]] inline IpAddress ipv4(std::span<const std::byte, 4> bytes) noexcept {
  IpAddress address;
  std::memcpy(address.bytes.data(), bytes.data(), bytes.size());
  return address;
}

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;
  std::uint32_t scope = 0;  ///< the interface of a link-local IPv6 address

  /// Of AF_INET or AF_INET6; anything else gives 0.0.0.0:0.
  [[nodiscard]] static SocketAddress from(const sockaddr_storage& name) noexcept {
    SocketAddress out;
    if (name.ss_family == AF_INET6) {
      const auto& in = reinterpret_cast<const sockaddr_in6&>(name);
      out.ip.ipv6 = true;
      std::memcpy(out.ip.bytes.data(), &in.sin6_addr, 16);
      out.port = ntohs(in.sin6_port);
      out.scope = in.sin6_scope_id;
    } else if (name.ss_family == AF_INET) {
      const auto& in = reinterpret_cast<const sockaddr_in&>(name);
      std::memcpy(out.ip.bytes.data(), &in.sin_addr, 4);
      out.port = ntohs(in.sin_port);
    }
    return out;
  }
  /// Fills `name`, and returns its length.
  socklen_t store(sockaddr_storage& name) const noexcept {
    if (ip.ipv6) {
      auto& out = reinterpret_cast<sockaddr_in6&>(name);
      out = {};
      out.sin6_family = AF_INET6;
      out.sin6_port = htons(port);
      out.sin6_scope_id = scope;
      std::memcpy(&out.sin6_addr, ip.bytes.data(), 16);
      return sizeof out;
    }
    auto& out = reinterpret_cast<sockaddr_in&>(name);
    out = {};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    std::memcpy(&out.sin_addr, ip.bytes.data(), 4);
    return sizeof out;
  }
  /// "192.0.2.1:51820", "[2001:db8::1]:51820".
  [[nodiscard]] std::string to_string() const {
    const auto address = ip.ipv6 ? "[" + ip.to_string() + "]" : ip.to_string();
    return address + ":" + std::to_string(port);
  }
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
};

}  // namespace warren
