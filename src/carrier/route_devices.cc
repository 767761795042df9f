#include "carrier/route_devices.h"

#include <fmt/format.h>
#include <linux/if_arp.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace warren::carrier {

namespace {

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

bool is_global(const IpAddress& address) {
  const auto& bytes = address.bytes;
  if (address.ipv6) return bytes[0] != 0 && !(bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
  return bytes[0] != 127 && !(bytes[0] == 169 && bytes[1] == 254);
}

}  // namespace

Result<std::vector<std::string>> devices_towards(netlink::Socket& socket,
                                                 const std::vector<IpAddress>& addresses,
                                                 std::uint32_t mark) {
  std::vector<std::string> names;
  Result<> missing;
  for (const auto& address : addresses) {
    const auto route = socket.route_to(address, mark);
    if (!route) {
      missing = tl::unexpected(route.error());
      continue;
    }
    const auto link = socket.link(route->device);
    if (!link) return tl::unexpected(link.error());
    if (link->type == ARPHRD_LOOPBACK)
      return fail(fmt::format("{} is an address of this host: nothing is carried to it",
                              address.to_string()),
                  EINVAL);
    add_once(names, link->name);
  }
  if (names.empty() && !missing) return tl::unexpected(missing.error());
  return names;
}

Result<std::vector<std::string>> default_devices(netlink::Socket& socket) {
  const auto indexes = socket.default_route_devices();
  if (!indexes) return tl::unexpected(indexes.error());
  std::vector<std::string> names;
  for (const int index : *indexes)
    if (const auto link = socket.link(index)) add_once(names, link->name);
  if (names.empty()) return fail("there is no default route", ENETUNREACH);
  return names;
}

Result<IpAddress> reachable_address(netlink::Socket& socket, const std::string& device) {
  const auto addresses = socket.addresses(device);
  if (!addresses) return tl::unexpected(addresses.error());
  for (const bool ipv6 : {false, true})
    for (const auto& prefix : *addresses)
      if (prefix.address.ipv6 == ipv6 && is_global(prefix.address)) return prefix.address;
  return fail(
      fmt::format("{} has no address for the ticket; say with --host how clients reach this "
                  "server",
                  device),
      EADDRNOTAVAIL);
}

Result<std::vector<IpAddress>> resolve(const std::string& host) {
  if (auto address = IpAddress::parse(host)) return std::vector{*address};
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
    return fail(fmt::format("look up {}: {}", host, ::gai_strerror(error)), EHOSTUNREACH);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<IpAddress> addresses;
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    IpAddress address{.ipv6 = each->ai_family == AF_INET6};
    const void* from = nullptr;
    if (address.ipv6)
      from = &static_cast<const sockaddr_in6*>(static_cast<const void*>(each->ai_addr))->sin6_addr;
    else if (each->ai_family == AF_INET)
      from = &static_cast<const sockaddr_in*>(static_cast<const void*>(each->ai_addr))->sin_addr;
    if (from == nullptr) continue;
    std::memcpy(address.bytes.data(), from, address.bits() / 8);
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  }
  if (addresses.empty())
    return fail(fmt::format("look up {}: it has no address", host), EHOSTUNREACH);
  return addresses;
}

}  // namespace warren::carrier
