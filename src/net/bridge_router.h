/// `bridge-to-router`: one L2 segment with two MTUs.
///
/// Theory of operation. A bridge cannot fragment: a frame that is larger than the port it should leave
/// by is lost. A router can. So frames that are too large for the bridge and go to a network behind it
/// get the bridge's own address as their destination; the host takes them for its own, routes them,
/// and sends them out of the same bridge in fragments, or answers "fragmentation needed" where they
/// must not be fragmented. Frames that fit are bridged as ever.
///
///     host, 1500 ──▶ lan3 ┐                        ┌──▶ vx8, 1370
///                         ├─ br-lan2 (MTU 1370) ───┤
///                         │  1500 > 1370: daddr := address of br-lan2; IP forwards: 1364 + 156
///
/// nf_tables does it where the kernel has meta expressions for bridges, and a kernel program at the
/// ports where it has not (OpenWrt's kernels often have not). The host needs an address in the network, and
/// sends no ICMP redirects, which would tell the host to do what it does already.
#pragma once

#include "net/sections.h"

namespace warren::net {

/// `ports`: of the bridge, those of the file.
void add_bridge_to_router(Settings& settings, const std::string& bridge,
                          const std::vector<std::string>& ports, const BridgeToRouter& router);

/// Takes the kernel program away from a port, where one of ours is.
Result<> stop_redirecting(const std::string& port, netlink::Socket& socket);

}  // namespace warren::net
