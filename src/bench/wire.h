/// Makes the wires of a test bed, and sets up devices in hosts.
#pragma once

#include <string>

#include <warren/result.h>

#include "bench/host.h"
#include "bench/scenario.h"

namespace warren::bench {

/// Gives the device, which is in its host already, its MTU, offloads, addresses, state and routes.
Result<> set_up_device(const Device& device, const Host& host);

/// Makes a wire of veth pairs (Join::veth, Join::redirect_peer). It goes with its hosts.
Result<> make_veth_wire(const Wire& wire, const Hosts& hosts);

/// Makes new TCP sockets of the host start with the algorithm, or, where the kernel keeps it from
/// namespaces, with reno. iperf3 -C alone is not enough: a socket that started with bbr, some
/// machines' default, keeps bbr's pacing.
Result<> prefer_congestion_control(const Host& host, const std::string& algorithm);

/// The network file that makes an impaired wire when its host `via` runs it.
[[nodiscard]] std::string impaired_wire_file(const Wire& wire);

}  // namespace warren::bench
