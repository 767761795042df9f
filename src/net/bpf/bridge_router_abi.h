// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What bridge_router.bpf.c is told when it is loaded.
#pragma once

#include <linux/types.h>

#define BRIDGE_ROUTER_NETWORKS 8

struct bridge_router_network {
  __u32 ipv6;
  __u32 address[4];  // in network byte order; IPv4 uses the first
  __u32 mask[4];
};

struct bridge_router {
  __u8 mac[8];  // of the bridge; the last two are not used
  __u32 mtu;
  __u32 networks_used;
  struct bridge_router_network networks[BRIDGE_ROUTER_NETWORKS];
};
