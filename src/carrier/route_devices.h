/// Which devices a carrier is attached to where nobody says it.
#pragma once

#include <string>
#include <vector>

#include <warren/address.h>
#include <warren/result.h>

#include "linux/netlink.h"

namespace warren::carrier {

/// The devices through which packets with this mark to these addresses leave now. Addresses without a route are
/// passed over, as long as one has a route.
[[nodiscard]] Result<std::vector<std::string>> devices_towards(
    netlink::Socket& socket, const std::vector<IpAddress>& addresses, std::uint32_t mark = 0);

/// The devices of the default routes, through which clients from anywhere come.
[[nodiscard]] Result<std::vector<std::string>> default_devices(netlink::Socket& socket);

/// An address of the device under which others may reach it: a global one, IPv4 first.
[[nodiscard]] Result<IpAddress> reachable_address(netlink::Socket& socket,
                                                  const std::string& device);

/// The addresses of a host, in the order in which programs try them; asks the DNS, and may take
/// long.
[[nodiscard]] Result<std::vector<IpAddress>> resolve(const std::string& host);

}  // namespace warren::carrier
