#include "wireguard/device_config.h"

#include <fmt/format.h>

#include <algorithm>
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

Result<> parse_endpoint(std::string_view text, PeerConfig& peer, Endpoint::FindDevice find_device) {
  const auto wrong = [](const char* why) { return fail(why, EINVAL); };
  peer.endpoint.reset();
  peer.endpoint_name.reset();
  if (auto endpoint = Endpoint::parse(text, find_device)) {
    peer.endpoint = *endpoint;
    return {};
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']'))
    return wrong("there is no port: write HOST:PORT, as in vpn.example.org:51820");
  EndpointName name{std::string(text.substr(0, colon))};
  const auto digits = text.substr(colon + 1);
  const auto* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, name.port);
  if (error != std::errc{} || rest != end) return wrong("the port is not a number from 0 to 65535");
  const auto& host = name.host;
  const bool good = !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
  // 300.1.1.1 would be looked up as a name.
  const bool numeric = host.find_first_not_of("0123456789.") == std::string::npos;
  if (!good || numeric)
    return wrong(
        "neither a host name nor an address; IPv6 addresses stand in brackets, as in "
        "[2001:db8::7]:51820");
  peer.endpoint_name = std::move(name);
  return {};
}

std::string Endpoint::to_string() const {
  if (!address.ipv6) return fmt::format("{}:{}", address.to_string(), port);
  if (scope_id == 0) return fmt::format("[{}]:{}", address.to_string(), port);
  return fmt::format("[{}%{}]:{}", address.to_string(), scope_id, port);
}

}  // namespace warren::wireguard
