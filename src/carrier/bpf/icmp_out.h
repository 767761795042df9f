/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The way out: whose UDP this is, and its rewriting in place as an ICMP message.
 *
 * Fail closed: what belongs to a flow that is carried leaves as ICMP or not at all. */
#ifndef WARREN_CARRIER_BPF_ICMP_OUT_H
#define WARREN_CARRIER_BPF_ICMP_OUT_H

// clang-format off: libbpf's headers need the kernel's types first.
#include "packet.h"
#include <linux/pkt_cls.h>
// clang-format on

#include "icmp_cache.h"
#include "icmp_maps.h"
#include "icmp_message.h"
#include "skb.h"

static __always_inline int drop(enum icmp_reason reason) {
  count_reason(reason);
  return TC_ACT_SHOT;
}

/* A flow that a packet belongs to: what its message must say. */
struct flow {
  struct tally tally;
  __be16 identifier;
  __be16 sequence; /* in the profile tutu */
  __u16 tag;       /* or user */
  __u8 profile;
  __u8 reply;
};

enum owner { NOBODY, CARRIED, HAS_NO_SESSION };

/* As a client: UDP to a server. */
static __always_inline struct icmp_server* find_server(const struct packet* packet,
                                                       const struct udphdr* udp) {
  if (!is_of_server(udp->dest)) return NULL;
  struct icmp_server_key key = {.address = packet->destination, .port = udp->dest};
  return bpf_map_lookup_elem(&servers, &key);
}

/* What the tables say. */
static __always_inline enum owner look_up_flow(const struct packet* packet,
                                               const struct udphdr* udp, struct flow* flow) {
  struct icmp_server* server = find_server(packet, udp);
  if (server) {
    flow->tally.counts = &server->counts;
    flow->identifier = flow->sequence = udp->source;
    flow->tag = server->tag;
    flow->profile = server->profile;
    return CARRIED;
  }
  __be16 port = udp->source;
  if (!is_served(port)) return NOBODY;
  struct icmp_session_key key = {
      .address = packet->destination, .identifier = udp->dest, .port = port};
  struct icmp_session* session = bpf_map_lookup_elem(&sessions, &key);
  if (!session) return HAS_NO_SESSION;
  struct icmp_user_key user_key = session->user;
  struct icmp_user* user = bpf_map_lookup_elem(&users, &user_key);
  if (!user || user->port != port || is_over(session, user, now())) return HAS_NO_SESSION;
  flow->tally.counts = &user->counts;
  flow->identifier = udp->dest;
  flow->sequence = session->sequence;
  flow->tag = user_key.tag;
  flow->profile = user_key.profile;
  flow->reply = 1;
  return CARRIED;
}

static __always_inline enum owner find_flow(const struct packet* packet, const struct udphdr* udp,
                                            struct flow* flow) {
  struct icmp_cache_key key = {
      .address = packet->destination, .port = udp->dest, .own = udp->source, .way = ICMP_WAY_OUT};
  struct vacancy vacancy = {};
  struct icmp_cached* cached = recall(&key, &vacancy);
  __builtin_memset(flow, 0, sizeof(*flow));
  if (likely(cached != NULL)) {
    flow->tally.cached = cached;
    flow->reply = cached->is_reply;
    flow->identifier = flow->reply ? udp->dest : udp->source;
    flow->tag = cached->found;
    flow->profile = ICMP_PROFILE_WARREN;
    return CARRIED;
  }
  enum owner owner = look_up_flow(packet, udp, flow);
  if (owner == CARRIED && flow->profile == ICMP_PROFILE_WARREN)
    flow->tally.cached = keep(&vacancy, &key, flow->tag, flow->reply);
  return owner;
}

/* Minus the sum of the payload, where no header tells it. `inner`: where the kernel will begin to finish the checksum of
 * a packet within this one, whose bytes from there on will then sum to the complement of what is in its checksum now. */
static __always_inline int sum_payload(struct __sk_buff* context, const struct packet* packet,
                                       int inner, int field, __u16* negative_payload) {
  __u32 from = packet->l4 + sizeof(struct udphdr), to = packet->l4 + packet->l4_length;
  __u64 sum = 0;
  if (inner != NOTHING_UNFINISHED) {
    __u16 seed;
    if (inner < (int)from || inner > (int)to ||
        bpf_skb_load_bytes(context, field, &seed, sizeof(seed)))
      return -1;
    sum = (__u16)~seed;
    to = inner;
  }
  if (sum_bytes(context, from, to, &sum)) return -1;
  *negative_payload = negative(sum);
  return 0;
}

/* Writes the transport header, and its protocol into the IP header. `change`: what that adds to the sum of the packet. */
static __always_inline int store_headers(struct __sk_buff* context, const struct packet* packet,
                                         __u8 protocol, const struct udphdr* transport,
                                         __u64* change) {
  void *data = start_of(context), *end = end_of(context);
  __u32 l3 = IN_SIGHT(packet->l3), at = IN_SIGHT(packet->protocol_at), l4 = IN_SIGHT(packet->l4);
  struct udphdr* header = data + l4;
  if ((void*)(header + 1) > end) return -1;
  *change = (__u64)transport->source + transport->dest + transport->len + transport->check +
            negative((__u64)header->source + header->dest + header->len + header->check);
  if (packet->ipv6) {
    __u8* next = data + at;
    if ((void*)(next + 1) > end) return -1;
    *change += (__u64)bpf_htons(protocol << 8) + (__u16)~bpf_htons(*next << 8);
    *next = protocol;
  } else {
    struct iphdr* ip = data + l3; /* its checksum keeps its sum as it was */
    if ((void*)(ip + 1) > end) return -1;
    ip->check = update_checksum(ip->check, bpf_htons(ip->protocol), bpf_htons(protocol));
    ip->protocol = protocol;
  }
  *header = *transport;
  return 0;
}

static __always_inline int write_message(struct __sk_buff* context, const struct packet* packet,
                                         const struct udphdr* udp, const struct flow* flow,
                                         __u8 software) {
  int field = 0, unfinished = unfinished_from(context, &field);
  int ours = unfinished == (int)packet->l4;
  if (ours && field != (int)(packet->l4 + offsetof(struct udphdr, check)))
    return ICMP_DROP_MALFORMED;
  __u64 addresses = sum_addresses(packet);
  struct echo echo = {.identifier = flow->identifier, .sequence = flow->sequence};
  echo.type = echo_type(packet, flow->reply);
  if (ours && !software && flow->profile == ICMP_PROFILE_WARREN) {
    balance_unfinished(packet, &echo, flow->tag, addresses);
  } else {
    __u16 negative_payload;
    if (!ours && udp->check) {
      negative_payload = payload_by_udp(packet, udp, addresses);
    } else if (sum_payload(context, packet, ours ? NOTHING_UNFINISHED : unfinished, field,
                           &negative_payload)) {
      return ICMP_DROP_REWRITE;
    }
    if (ours && forget_unfinished(context, packet)) return ICMP_DROP_REWRITE;
    if (flow->profile == ICMP_PROFILE_WARREN) {
      balance(packet, &echo, flow->tag, addresses, negative_payload);
    } else {
      echo.code = flow->tag;
      checksum_message(packet, &echo, addresses, negative_payload);
    }
  }
  __u64 change;
  if (store_headers(context, packet, packet->ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP, (void*)&echo,
                    &change))
    return ICMP_DROP_REWRITE;
  return -1;
}

#endif
