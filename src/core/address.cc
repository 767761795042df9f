#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <warren/address.h>

namespace warren {

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress address;
  address.ipv6 = text.find(':') != std::string_view::npos;
  if (::inet_pton(address.ipv6 ? AF_INET6 : AF_INET, terminated.c_str(), address.bytes.data()) != 1)
    return fail(fmt::format("\"{}\" is not an IPv4 or IPv6 address", text), EINVAL);
  return address;
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(ipv6 ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
  return text.data();
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address)
    return fail(
        fmt::format(
            "\"{}\" is not an address with a prefix length, such as 10.0.1.1/24 or fd00::1/64",
            text),
        EINVAL);
  IpPrefix prefix{*address, address->bits()};
  if (slash == std::string_view::npos) return prefix;

  const auto digits = text.substr(slash + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length);
  if (error != std::errc{} || end != digits.data() + digits.size() ||
      prefix.length > address->bits())
    return fail(fmt::format("\"{}\": the prefix length must be 0 to {}", text, address->bits()),
                EINVAL);
  return prefix;
}

std::string IpPrefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < mac.bytes.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    good = error == std::errc{} && end == digits + 2 && (i == 5 || digits[2] == ':');
  }
  if (!good)
    return fail(fmt::format("\"{}\" is not a MAC address, such as 02:00:00:00:00:01", text),
                EINVAL);
  return mac;
}

std::string MacAddress::to_string() const { return fmt::format("{:02x}", fmt::join(bytes, ":")); }

}  // namespace warren
