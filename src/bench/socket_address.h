/// An IP address and port as the socket calls take them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include <warren/address.h>
#include <warren/result.h>

namespace warren::bench {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;

  SocketAddress() = default;
  SocketAddress(const IpAddress& address, std::uint16_t port) {
    if (address.ipv6) {
      auto& in = reinterpret_cast<sockaddr_in6&>(storage);
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      std::memcpy(&in.sin6_addr, address.bytes.data(), sizeof in.sin6_addr);
      size = sizeof in;
    } else {
      auto& in = reinterpret_cast<sockaddr_in&>(storage);
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      std::memcpy(&in.sin_addr, address.bytes.data(), sizeof in.sin_addr);
      size = sizeof in;
    }
  }
  [[nodiscard]] static Result<SocketAddress> parse(const std::string& text, std::uint16_t port) {
    const auto address = IpAddress::parse(text);
    if (!address) return tl::unexpected(address.error());
    return SocketAddress(*address, port);
  }

  [[nodiscard]] sa_family_t family() const { return storage.ss_family; }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace warren::bench
