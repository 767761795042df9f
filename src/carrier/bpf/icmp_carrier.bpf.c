// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The kernel side of the ICMP carrier: see icmp_abi.h for who does what to which packet, icmp_message.h for how.
//
//     out:  UDP ──▶ carry (tc egress) ── rewritten ──▶ device
//                     └─ super-packet ─▶ detour: the kernel segments ─▶ carry (tc egress of its far end) ─▶ device
//     in:   device ─▶ restore_xdp (live sessions only) ─▶ restore (tc ingress) ──▶ UDP
//     (both: super-packets that stay whole on one machine: icmp_whole.h)
//     guard (cgroup egress): what would leave through a device that carries nothing is dropped
//
// tc programs end with TC_ACT_UNSPEC, so that other people's filters still run.

#include "icmp_cache.h"
#include "icmp_errors.h"
#include "icmp_in.h"
#include "icmp_maps.h"
#include "icmp_out.h"
#include "icmp_whole.h"

/* Of the network namespace that the programs serve: the guard sees the sockets of every namespace. */
const volatile __u64 netns_cookie = 0;

static __noinline int detour(struct __sk_buff* context, __u32 entrance, __u8 link_header) {
  if (!entrance) return drop(ICMP_DROP_NO_DETOUR);
  if (link_header == 0) {
    if (bpf_skb_change_head(context, ETH_HLEN, 0)) return drop(ICMP_DROP_NO_DETOUR);
    __be16 ethertype = context->protocol;
    if (bpf_skb_store_bytes(context, offsetof(struct ethhdr, h_proto), &ethertype,
                            sizeof(ethertype), 0))
      return drop(ICMP_DROP_REWRITE);
  }
  return bpf_redirect(entrance, 0);
}

static __always_inline int carry_packet(struct __sk_buff* context, const struct icmp_device* device,
                                        int ipv6) {
  struct packet packet;
  int parsed = parse_context(context, ipv6, device->link_header, &packet);
  if (unlikely(parsed == PARSED_FAILED)) return drop(ICMP_DROP_REWRITE); /* it could be ours */
  if (parsed != PARSED || packet.protocol != IPPROTO_UDP) return TC_ACT_UNSPEC;
  if (unlikely(packet.later_fragment))
    return was_dropped(&packet) ? drop(ICMP_DROP_FRAGMENT) : TC_ACT_UNSPEC;
  struct udphdr udp;
  if (read_bytes(context, packet.l4, &udp, sizeof(udp))) return TC_ACT_UNSPEC;

  struct flow flow;
  enum owner owner = find_flow(&packet, &udp, &flow);
  if (owner == NOBODY) return TC_ACT_UNSPEC;
  if (unlikely(device->closing)) return drop(ICMP_DROP_NOT_ATTACHED); /* it had passed the guard */
  if (unlikely(packet.fragment)) {
    remember_fragment(&packet);
    count_reason(ICMP_DROP_FRAGMENT);
    return answer_too_big(context, &packet, device->mtu);
  }
  if (unlikely(owner == HAS_NO_SESSION)) return drop(ICMP_DROP_NO_SESSION);
  if (unlikely(packet.bound || bpf_ntohs(udp.len) != packet.l4_length ||
               packet.l4_length < sizeof(udp) || packet.l4 + packet.l4_length > context->len))
    return drop(ICMP_DROP_MALFORMED);
  int whole = 0;
  if (unlikely(context->gso_size)) {
    if (device->may_be_whole) whole = goes_whole(context, &packet, &udp, &flow);
    if (whole < 0) return drop(ICMP_DROP_REWRITE);
    if (!whole) return detour(context, device->exit ? 0 : device->detour, device->link_header);
  }
  int reason = write_message(context, &packet, &udp, &flow, device->software && !whole);
  if (unlikely(reason >= 0)) return drop(reason);
  count(&flow.tally, 1, &packet, context->gso_size);
  return device->exit ? bpf_redirect(device->exit, 0) : TC_ACT_UNSPEC;
}

SEC("tc")
int carry(struct __sk_buff* context) {
  struct icmp_device* device = find_device(context->ifindex);
  if (!device) return TC_ACT_UNSPEC;
  if (unlikely(context->gso_size) && device->may_be_whole && ethertype_of(context) == QUESTION)
    return shorten_question(context);
  if (context->protocol == bpf_htons(ETH_P_IP)) return carry_packet(context, device, 0);
  if (context->protocol == bpf_htons(ETH_P_IPV6)) return carry_packet(context, device, 1);
  return TC_ACT_UNSPEC;
}

static __always_inline int restore_packet(struct __sk_buff* context,
                                          const struct icmp_device* device, int ipv6) {
  struct packet packet;
  if (parse_context(context, ipv6, device->link_header, &packet) != PARSED) return TC_ACT_UNSPEC;
  if (packet.protocol != (ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP) || packet.later_fragment ||
      packet.bound || packet.l4_length < sizeof(struct echo) ||
      packet.l4 + packet.l4_length > context->len)
    return TC_ACT_UNSPEC;
  struct echo echo;
  if (read_bytes(context, packet.l4, &echo, sizeof(echo))) return TC_ACT_UNSPEC;

  __u64 addresses = sum_addresses(&packet);
  int field = 0, unfinished = unfinished_from(context, &field);
  if (unlikely(context->gso_size) && (unfinished != (int)packet.l4 || !is_udp_segments(context)))
    return TC_ACT_UNSPEC;
  if (unlikely(packet.fragment)) {
    if (is_known(&packet, &echo, addresses)) count_reason(ICMP_PASS_FRAGMENT);
    return TC_ACT_UNSPEC;
  }
  if (unlikely(is_error(&packet, echo.type)))
    return restore_quoted(context, packet.l4, echo.checksum);
  struct udphdr udp = {.len = bpf_htons(packet.l4_length)};
  struct tally tally = {};
  int reason = -1;
  if (!accept_message(&packet, &echo, addresses, context, &udp, &tally, &reason)) {
    if (reason >= 0) count_reason(reason);
    return TC_ACT_UNSPEC;
  }
  if (unfinished == (int)packet.l4) {
    /* Balanced by a kernel on this machine, and nobody has written the balance yet: it becomes unfinished UDP again. */
    if (field != (int)(packet.l4 + offsetof(struct udphdr, check))) return TC_ACT_UNSPEC;
    udp.check = fold(sum_pseudo_header(&packet, addresses, IPPROTO_UDP));
    if (unlikely(context->gso_size)) note_arrived(context, &packet, &echo, addresses);
  } else {
    restore_checksum(&packet, &udp, addresses, payload_by_icmp(&packet, &echo, addresses));
  }
  __u64 change;
  if (store_headers(context, &packet, IPPROTO_UDP, &udp, &change)) return drop(ICMP_DROP_REWRITE);
  change_sum(context, change);
  forget_hash(context);
  count(&tally, 0, &packet, context->gso_size);
  return TC_ACT_UNSPEC;
}

SEC("tc")
int restore(struct __sk_buff* context) {
  struct icmp_device* device = find_device(context->ifindex);
  if (!device) return TC_ACT_UNSPEC;
  if (context->protocol == bpf_htons(ETH_P_IP)) return restore_packet(context, device, 0);
  if (context->protocol == bpf_htons(ETH_P_IPV6)) return restore_packet(context, device, 1);
  if (unlikely(context->protocol == QUESTION || context->protocol == ANSWER))
    return meet_question(context, device);
  return TC_ACT_UNSPEC;
}

/* The common case, before the kernel makes an sk_buff of it: a live session, no options, no extension headers. All else
 * is left to `restore`, and so is what could be a message whose balance nobody has written yet (from a machine on this
 * host): its sequence number is then that of balance_unfinished(), which a finished message has once in 2^16. */
SEC("xdp.frags")
int restore_xdp(struct xdp_md* context) {
  void *data = (void*)(long)context->data, *end = (void*)(long)context->data_end;
  struct icmp_device* device = find_device(context->ingress_ifindex);
  struct ethhdr* ethernet = data;
  struct packet packet;
  if (!device || device->link_header != ETH_HLEN || (void*)(ethernet + 1) > end ||
      (ethernet->h_proto != bpf_htons(ETH_P_IP) && ethernet->h_proto != bpf_htons(ETH_P_IPV6)) ||
      parse(data, end, ethernet->h_proto == bpf_htons(ETH_P_IPV6), ETH_HLEN, &packet) != PARSED)
    return XDP_PASS;
  if (packet.protocol != (packet.ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP) || packet.fragment ||
      packet.l4 != ETH_HLEN + (packet.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) ||
      packet.l4_length < sizeof(struct echo) ||
      bpf_xdp_get_buff_len(context) < packet.l4 + packet.l4_length)
    return XDP_PASS;
  struct iphdr* ip4 = data + ETH_HLEN;
  struct ipv6hdr* ip6 = data + ETH_HLEN;
  struct echo* echo = packet.ipv6 ? (void*)(ip6 + 1) : (void*)(ip4 + 1);
  if ((void*)(echo + 1) > end) return XDP_PASS;

  __u64 addresses = sum_addresses(&packet);
  __u16 unfinished = fold(sum_icmp_pseudo_header(&packet, addresses));
  struct udphdr udp = {.len = bpf_htons(packet.l4_length)};
  struct tally tally = {};
  if (echo->sequence == unfinished ||
      !accept_message(&packet, echo, addresses, NULL, &udp, &tally, NULL))
    return XDP_PASS;
  restore_checksum(&packet, &udp, addresses, payload_by_icmp(&packet, echo, addresses));
  if (packet.ipv6) {
    ip6->nexthdr = IPPROTO_UDP;
  } else {
    __be16 before = bpf_htons((ip4->ttl << 8) | IPPROTO_ICMP),
           after = bpf_htons((ip4->ttl << 8) | IPPROTO_UDP);
    ip4->protocol = IPPROTO_UDP;
    ip4->check = update_checksum(ip4->check, before, after);
  }
  __builtin_memcpy(echo, &udp, sizeof(udp));
  count(&tally, 0, &packet, 0);
  return XDP_PASS;
}

/* What local sockets send in a carried flow through a device where nothing is attached: it was never attached, or it
 * vanished and returned, or the route moved there. */
SEC("cgroup_skb/egress")
int guard(struct __sk_buff* context) {
  enum { DROP = 0, PASS = 1, LOOPBACK = 1 };
  __u32 ifindex = context->ifindex;
  struct packet packet;
  struct icmp_device* device = find_device(ifindex);
  if (ifindex == LOOPBACK || (device && !device->closing)) return PASS;
  int ipv6 = context->protocol == bpf_htons(ETH_P_IPV6);
  if (parse(start_of(context), end_of(context), ipv6, 0, &packet) != PARSED) return PASS;
  if (packet.protocol != IPPROTO_UDP) return PASS;
  if (packet.later_fragment) {
    if (!was_dropped(&packet)) return PASS;
  } else {
    struct udphdr udp;
    if (read_bytes(context, packet.l4, &udp, sizeof(udp))) return PASS;
    if (!find_server(&packet, &udp) && !is_served(udp.source)) return PASS;
  }
  if (netns_cookie && netns_cookie != netns_of(context)) return PASS;
  if (packet.fragment) remember_fragment(&packet);
  count_reason(ICMP_DROP_NOT_ATTACHED);
  return DROP;
}

char program_license[] SEC("license") = "Dual MIT/GPL";
