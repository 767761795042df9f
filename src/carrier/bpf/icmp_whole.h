/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Super-packets that stay whole: between network namespaces of one machine, on one link.
 *
 * Theory of operation. A UDP super-packet is many datagrams that are not made yet: it travels as one, with the size of
 * its segments beside it, until somebody has to segment it. Between namespaces (veth) nobody has to, and the receiver
 * gets it as it was sent. Its headers have the size of an echo message's, so that it becomes one by the same rewriting.
 * But then nobody *can* segment it any more: a kernel drops it, and a device that segments UDP would make rubbish of it.
 * So it stays whole only where the other end has just shown that it arrives as it was sent, and by no router.
 *
 *     client: carry   ── a copy of a super-packet, whole: a question ──▶ server: restore  at most four times a second,
 *                                                                        │                ever more rarely while nobody
 *     client: restore ◀── the same, sent back: the answer ───────────────┘                answers: up to once in 64 s
 *             │
 *             └ for a second, super-packets to that address go whole; all others take the detour
 *
 * The same goes from server to client. A way that changes costs at most what is sent whole within that second. Question
 * and answer are messages of the flow but for their Ethernet type (IEEE 802's local experimental ones), which no router
 * forwards and no host knows. From a wire nobody can pretend: what comes from there is not a super-packet of ICMP.
 */
#ifndef WARREN_CARRIER_BPF_ICMP_WHOLE_H
#define WARREN_CARRIER_BPF_ICMP_WHOLE_H

// clang-format off: libbpf's headers need the kernel's types first.
#include "packet.h"
#include <linux/pkt_cls.h>
// clang-format on

#include "icmp_in.h"
#include "icmp_maps.h"
#include "icmp_message.h"
#include "icmp_out.h"
#include "skb.h"

#define WHOLE_QUESTION bpf_htons(0x88b5)
#define WHOLE_ANSWER bpf_htons(0x88b6)

#define ASK_INTERVAL (SECOND / 4)
#define MAX_UNANSWERED 8 /* the interval doubles as often */

static __always_inline int store_ethertype(struct __sk_buff* context, __be16 ethertype) {
  struct ethhdr* ethernet = start_of(context);
  if ((void*)(ethernet + 1) > end_of(context)) return -1;
  ethernet->h_proto = ethertype;
  return 0;
}

/* Sends a copy as a question. Returns nonzero where the packet could not be made again what it was. */
static __always_inline int ask(struct __sk_buff* context, const struct packet* packet,
                               const struct udphdr* udp, const struct flow* flow) {
  struct echo echo = {.type = echo_type(packet, flow->reply), .identifier = flow->identifier};
  __be16 ethertype = context->protocol;
  __u64 change;
  balance_unfinished(packet, &echo, flow->tag, sum_addresses(packet));
  if (store_headers(context, packet, packet->ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP, (void*)&echo,
                    &change) ||
      store_ethertype(context, WHOLE_QUESTION))
    return -1;
  bpf_clone_redirect(context, context->ifindex, 0);
  return store_ethertype(context, ethertype) ||
         store_headers(context, packet, IPPROTO_UDP, udp, &change);
}

static __always_inline int is_due(const struct icmp_whole* whole, __u64 time) {
  __u32 doubled = whole->unanswered < MAX_UNANSWERED ? whole->unanswered : MAX_UNANSWERED;
  return time - whole->asked >= ASK_INTERVAL << doubled;
}

/* Whether a super-packet may be sent as one message: 1, 0, or -1 where the packet is broken. Asks where that is due. */
static __always_inline int goes_whole(struct __sk_buff* context, const struct packet* packet,
                                      const struct udphdr* udp, const struct flow* flow) {
  int field;
  if (flow->profile != ICMP_PROFILE_WARREN || !is_udp_segments(context) ||
      unfinished_from(context, &field) != (int)packet->l4)
    return 0;
  struct icmp_whole_key key = {.address = packet->destination, .ifindex = context->ifindex};
  struct icmp_whole* whole = bpf_map_lookup_elem(&wholes, &key);
  __u64 time = now();
  if (!whole) {
    struct icmp_whole made = {.asked = time};
    bpf_map_update_elem(&wholes, &key, &made, BPF_NOEXIST);
    return ask(context, packet, udp, flow);
  }
  if (is_due(whole, time)) {
    whole->asked = time;
    whole->unanswered++;
    if (ask(context, packet, udp, flow)) return -1;
  }
  return whole->answered && time - whole->answered < ICMP_WHOLE_HOLDS_NS;
}

/* Sends a question back to where it came from. */
static __always_inline int answer(struct __sk_buff* context, const struct packet* packet,
                                  const struct echo* question) {
  void *data = start_of(context), *end = end_of(context);
  struct ethhdr* ethernet = data;
  struct iphdr* ip4 = data + ETH_HLEN;
  struct ipv6hdr* ip6 = data + ETH_HLEN;
  struct echo* echo = data + IN_SIGHT(packet->l4);
  if ((void*)(ip4 + 1) > end || (void*)(echo + 1) > end) return TC_ACT_SHOT;
  if (packet->ipv6) {
    if ((void*)(ip6 + 1) > end) return TC_ACT_SHOT;
    struct in6_addr source = ip6->saddr;
    ip6->saddr = ip6->daddr;
    ip6->daddr = source;
  } else {
    __be32 source = ip4->saddr;
    ip4->saddr = ip4->daddr;
    ip4->daddr = source;
  }
  echo->type = echo_type(packet, is_request(packet, question));
  unsigned char address[ETH_ALEN];
  __builtin_memcpy(address, ethernet->h_source, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
  __builtin_memcpy(ethernet->h_dest, address, ETH_ALEN);
  ethernet->h_proto = WHOLE_ANSWER;
  return bpf_redirect(context->ifindex, 0);
}

static __always_inline int note_answer(struct __sk_buff* context, const struct packet* packet) {
  struct icmp_whole_key key = {.address = packet->source, .ifindex = context->ifindex};
  struct icmp_whole* whole = bpf_map_lookup_elem(&wholes, &key);
  if (whole) {
    whole->answered = now();
    whole->unanswered = 0;
  }
  return TC_ACT_SHOT;
}

/* A question or an answer. */
static __noinline int meet_whole(struct __sk_buff* context, const struct icmp_device* device) {
  __u8 version;
  if (!device || !context->gso_size || device->link_header != ETH_HLEN ||
      read_bytes(context, ETH_HLEN, &version, sizeof(version)))
    return TC_ACT_UNSPEC;
  struct packet packet;
  struct echo echo;
  int ipv6 = version >> 4 == 6, field;
  if (parse_context(context, ipv6, ETH_HLEN, &packet) != PARSED ||
      packet.protocol != (ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP) || packet.fragment ||
      packet.bound || read_bytes(context, packet.l4, &echo, sizeof(echo)) ||
      unfinished_from(context, &field) != (int)packet.l4)
    return TC_ACT_UNSPEC;
  struct udphdr udp;
  struct icmp_counts* counts = NULL;
  int reason;
  if (!accept_message(&packet, &echo, sum_addresses(&packet), NULL, &udp, &counts, &reason))
    return TC_ACT_UNSPEC;
  if (context->protocol == WHOLE_QUESTION) return answer(context, &packet, &echo);
  return note_answer(context, &packet);
}

#endif
