#include "wireguard/device_config.h"

#include <fmt/format.h>

#include <charconv>

namespace warren::wireguard {

namespace {

tl::unexpected<Error> no_endpoint(const char* why) {
  return fail(fmt::format("{}: an endpoint is ADDRESS:PORT, such as 203.0.113.7:51820 or "
                          "[2001:db8::7]:51820",
                          why),
              EINVAL);
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text, FindDevice find_device) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return no_endpoint("there is no port");
  Endpoint endpoint;
  const auto port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc{} || end != port.data() + port.size())
    return no_endpoint("the port is not a number up to 65535");

  auto host = text.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto percent = host.find('%');
  const auto address = IpAddress::parse(host.substr(0, percent));
  if (!address) return no_endpoint("the address is not one of IPv4 or IPv6");
  if (address->ipv6 != brackets) return no_endpoint("IPv6 addresses, and no others, have brackets");
  endpoint.address = *address;
  if (percent == std::string_view::npos) return endpoint;

  const std::string scope(host.substr(percent + 1));
  const auto [scope_end, scope_error] =
      std::from_chars(scope.data(), scope.data() + scope.size(), endpoint.scope_id);
  if (scope_error != std::errc{} || scope_end != scope.data() + scope.size())
    endpoint.scope_id = find_device == nullptr ? 0 : find_device(scope.c_str());
  if (!address->ipv6 || endpoint.scope_id == 0)
    return no_endpoint("behind % there is no network device");
  return endpoint;
}

std::string Endpoint::to_string() const {
  if (!address.ipv6) return fmt::format("{}:{}", address.to_string(), port);
  if (scope_id == 0) return fmt::format("[{}]:{}", address.to_string(), port);
  return fmt::format("[{}%{}]:{}", address.to_string(), scope_id, port);
}

}  // namespace warren::wireguard
