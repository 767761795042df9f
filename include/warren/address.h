/// Addresses and routes as configuration names them: "10.0.1.1/24", "fd00::1", "02:00:00:00:00:01".
///
/// Plain values: copied, compared, printed; parse() accepts exactly what inet_pton(3) accepts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren {

/// An IPv4 or IPv6 address in network byte order.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  ///< IPv4 uses the first four
  bool ipv6 = false;

  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] unsigned bits() const { return ipv6 ? 128 : 32; }
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// An address with the length of its network: "10.0.1.1/24". As an interface's address the host
/// bits stay.
struct IpPrefix {
  IpAddress address;
  unsigned length = 0;

  [[nodiscard]] static Result<IpPrefix> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static Result<MacAddress> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const MacAddress&, const MacAddress&) = default;
};

struct Route {
  IpPrefix destination;
  std::optional<IpAddress> via{};
  std::optional<std::uint32_t> metric{};

  friend bool operator==(const Route&, const Route&) = default;
};

}  // namespace warren
