// SPDX-License-Identifier: MIT OR GPL-2.0-only
// At the ingress of a bridge's port, before the bridge: frames that are too large for the bridge get
// its own address, so that they are routed. The bridge itself then marks them as meant for this host.
// clang-format off: libbpf's header needs the kernel's types first.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "bridge_router_abi.h"

const volatile struct bridge_router router = {};

static __always_inline int in_network(const struct bridge_router_network* network, __u32 ipv6,
                                      const __u32* address) {
  if (network->ipv6 != ipv6) return 0;
  __u32 differ = 0;
  for (int i = 0; i < 4; i++) differ |= (address[i] ^ network->address[i]) & network->mask[i];
  return differ == 0;
}

static __always_inline int wanted(__u32 ipv6, const __u32* address) {
  for (int i = 0; i < BRIDGE_ROUTER_NETWORKS; i++)
    if (i < router.networks_used &&
        in_network((const struct bridge_router_network*)&router.networks[i], ipv6, address))
      return 1;
  return 0;
}

SEC("tc")
int route_large(struct __sk_buff* skb) {
  struct ethhdr ethernet;
  __u32 address[4] = {};
  if (skb->len <= router.mtu + sizeof ethernet) return -1;
  if (bpf_skb_load_bytes(skb, 0, &ethernet, sizeof ethernet) < 0) return -1;
  if (ethernet.h_dest[0] & 1) return -1;
  if (ethernet.h_proto == bpf_htons(ETH_P_IP)) {
    if (bpf_skb_load_bytes(skb, sizeof ethernet + offsetof(struct iphdr, daddr), address, 4) < 0)
      return -1;
    if (!wanted(0, address)) return -1;
  } else if (ethernet.h_proto == bpf_htons(ETH_P_IPV6)) {
    if (bpf_skb_load_bytes(skb, sizeof ethernet + offsetof(struct ipv6hdr, daddr), address, 16) < 0)
      return -1;
    if (!wanted(1, address)) return -1;
  } else {
    return -1;
  }
  bpf_skb_store_bytes(skb, 0, (const void*)router.mac, 6, 0);
  return -1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
