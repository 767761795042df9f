/// The way of UDP super-packets, which cannot be segmented any more once they are ICMP. (Some go past it:
/// bpf/icmp_whole.h.)
///
///     eth0 egress: carry ──redirect──▶ wc3 (macvlan) ──▶ wc3a egress: carry ──redirect──▶ eth0
///                                       │                 │
///                                       │                 '- each packet alone: it is rewritten
///                                       '- takes no super-packets, so the kernel segments
///                                          while it sends through it
///
/// All of it happens in one call, without a queue, and a packet stays its socket's until eth0 has sent
/// it: so a program that sends faster than eth0 does is slowed down, as without the detour. (A veth pair
/// in the macvlan's place could complete checksums too, which the macvlan cannot, and is a tenth faster
/// where that is needed; but it takes packets from their sockets.) wc3a is one end of a veth pair of our
/// own (wc3b is the other, and never gets a packet); the number is the index of the real device, so that
/// the detour of a device is found again by its name.
#pragma once

#include <string>

#include <warren/result.h>

#include "linux/netlink.h"

namespace warren::carrier {

struct Detour {
  int entrance = 0;  ///< index of the macvlan
  int exit = 0;      ///< index of the veth end at whose egress the packets are rewritten

  /// The detour of device `ifindex`; makes what is missing of it, and nothing stays of what fails.
  [[nodiscard]] static Result<Detour> make(netlink::Socket& socket, int ifindex);
  /// No error where there is none.
  static Result<> remove(netlink::Socket& socket, int ifindex);
  /// Of the macvlan: "wc3".
  [[nodiscard]] static std::string name(int ifindex);
};

}  // namespace warren::carrier
