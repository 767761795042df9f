/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Super-packets that stay whole: between network namespaces of one machine, on one link.
 *
 * Theory of operation. A UDP super-packet is many datagrams that are not made yet: it travels as one, with the size of
 * its segments beside it, until somebody has to segment it. Between namespaces (veth) nobody has to, and the receiver
 * gets it as it was sent. Its headers have the size of an echo message's, so that it becomes one by the same rewriting.
 * But then nobody *can* segment it any more: a kernel drops it, and a device that segments UDP would make rubbish of it.
 * So it goes whole only where the other end has just said that such a one has arrived; others take the detour.
 *
 *     carry    ── question: the headers of the flow, unfinished ──────▶ restore    four times a second; ever more rarely,
 *     restore  ◀── answer: "unfinished, and none has come yet" ─────────┘          down to once in 64 s, while none answers
 *     carry    ── a try: one super-packet, whole ─────────────────────▶ restore    so too, while tries fail
 *     carry    ── question ───────────────────────────────────────────▶ restore
 *     restore  ◀── answer: "one of 57,000 bytes" ───────────────────────┘
 *     carry    ══ all super-packets up to that size, for a second ════▶ restore
 *
 * A message whose checksum is still unfinished has been on no wire, so no real device is tried. Questions are frames of
 * an Ethernet type of their own, which no router forwards and no host knows. What becomes of the messages themselves is
 * told by the answers, also when it changes: then at most what is sent within a second is lost. Question and answer are
 * flow by flow, and the same in both directions of it.
 */
#ifndef WARREN_CARRIER_BPF_ICMP_WHOLE_H
#define WARREN_CARRIER_BPF_ICMP_WHOLE_H

// clang-format off: libbpf's headers need the kernel's types first.
#include "packet.h"
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
// clang-format on

#include "icmp_in.h"
#include "icmp_maps.h"
#include "icmp_message.h"
#include "icmp_out.h"
#include "skb.h"

#define QUESTION bpf_htons(ICMP_WHOLE_QUESTION)
#define ANSWER bpf_htons(ICMP_WHOLE_ANSWER)

#define QUESTION_SIZE 256 /* the headers */
#define ASK_INTERVAL (SECOND / 4)
#define MAX_DOUBLED 8 /* of the interval */

/* The clock of another CPU can be a tick ahead. */
static __always_inline __u64 passed(__u64 since, __u64 time) {
  return time > since ? time - since : 0;
}

/* The interval, ever longer after failures. */
static __always_inline __u64 patience(__u32 failures) {
  return ASK_INTERVAL << (failures < MAX_DOUBLED ? failures : MAX_DOUBLED);
}

static __always_inline __be16 ethertype_of(struct __sk_buff* context) {
  struct ethhdr* ethernet = start_of(context);
  return (void*)(ethernet + 1) <= end_of(context) ? ethernet->h_proto : 0;
}

static __always_inline int store_ethertype(struct __sk_buff* context, __be16 ethertype) {
  struct ethhdr* ethernet = start_of(context);
  if ((void*)(ethernet + 1) > end_of(context)) return -1;
  ethernet->h_proto = ethertype;
  return 0;
}

/* Sends a copy as a question, which shorten_question() meets next. Returns -1 where the packet could not be made again
 * what it was. */
static __always_inline int ask(struct __sk_buff* context, const struct packet* packet,
                               const struct udphdr* udp, const struct flow* flow) {
  struct echo echo = {.type = echo_type(packet, flow->reply), .identifier = flow->identifier};
  __be16 ethertype = context->protocol;
  __u64 change;
  balance_unfinished(packet, &echo, flow->tag, sum_addresses(packet));
  if (store_headers(context, packet, packet->ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP, (void*)&echo,
                    &change) ||
      store_ethertype(context, QUESTION))
    return -1;
  bpf_clone_redirect(context, context->ifindex, 0);
  if (store_ethertype(context, ethertype) ||
      store_headers(context, packet, IPPROTO_UDP, udp, &change))
    return -1;
  return 0;
}

/* On its way out again, a question loses what is not needed, and is no super-packet any more. */
static __noinline int shorten_question(struct __sk_buff* context) {
  __u32 size = context->len < QUESTION_SIZE ? context->len : QUESTION_SIZE;
  return bpf_skb_change_tail(context, size, 0) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* Whether a super-packet may be sent as one message: 1, 0, or -1 where the packet is broken. Asks where that is due. */
static __always_inline int goes_whole(struct __sk_buff* context, const struct packet* packet,
                                      const struct udphdr* udp, const struct flow* flow) {
  int field;
  if (flow->profile != ICMP_PROFILE_WARREN || !is_udp_segments(context) ||
      unfinished_from(context, &field) != (int)packet->l4)
    return 0;
  struct icmp_whole_key key = {.address = packet->destination,
                               .ifindex = context->ifindex,
                               .identifier = flow->identifier,
                               .tag = flow->tag};
  struct icmp_whole* whole = bpf_map_lookup_elem(&wholes, &key);
  __u64 time = now();
  if (!whole) {
    /* Asked about later: where there are more flows than places, none gets that old. */
    struct icmp_whole made = {.asked = time};
    bpf_map_update_elem(&wholes, &key, &made, BPF_NOEXIST);
    return 0;
  }
  int answered = whole->answered && passed(whole->answered, time) < ICMP_WHOLE_HOLDS_NS;
  if (!answered) whole->proven = 0;
  int unasked = answered && whole->sent > whole->proven; /* a try that is still to be asked about */
  if (unasked || passed(whole->asked, time) >= patience(answered ? 0 : whole->unanswered)) {
    whole->asked = time;
    whole->pending = whole->sent;
    whole->sent = 0;
    whole->unanswered++;
    if (ask(context, packet, udp, flow)) return -1;
  }
  __u32 size = packet->l4_length;
  if (size > whole->proven) {
    if (!answered || unasked || whole->pending > whole->proven) return 0;
    if (whole->refused && size >= whole->refused &&
        passed(whole->tried, time) < patience(whole->failures))
      return 0;
    whole->tried = time;
  }
  if (size > whole->sent) whole->sent = size;
  return 1;
}

/* The flow of a question, an answer or a whole message that came in. */
static __always_inline struct icmp_whole* find_whole(struct __sk_buff* context,
                                                     const struct packet* packet,
                                                     const struct echo* echo, __u64 addresses) {
  struct icmp_whole_key key = {.address = packet->source,
                               .ifindex = context->ifindex,
                               .identifier = echo->identifier,
                               .tag = tag_of(packet, echo, addresses)};
  struct icmp_whole* whole = bpf_map_lookup_elem(&wholes, &key);
  if (whole || context->protocol != QUESTION) return whole;
  struct icmp_whole made = {.asked = now()};
  bpf_map_update_elem(&wholes, &key, &made, BPF_NOEXIST);
  return bpf_map_lookup_elem(&wholes, &key);
}

static __always_inline void note_arrived(struct __sk_buff* context, const struct packet* packet,
                                         const struct echo* echo, __u64 addresses) {
  struct icmp_whole* whole = find_whole(context, packet, echo, addresses);
  if (whole && packet->l4_length > whole->arrived) whole->arrived = packet->l4_length;
}

/* Sends a question back to where it came from. What has arrived is told in the sequence number. */
static __always_inline int answer(struct __sk_buff* context, const struct packet* packet,
                                  const struct echo* question, struct icmp_whole* whole) {
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
  echo->sequence = bpf_htons(whole->arrived);
  whole->arrived = 0;
  unsigned char address[ETH_ALEN];
  __builtin_memcpy(address, ethernet->h_source, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, ethernet->h_dest, ETH_ALEN);
  __builtin_memcpy(ethernet->h_dest, address, ETH_ALEN);
  ethernet->h_proto = ANSWER;
  return bpf_redirect(context->ifindex, 0);
}

static __always_inline int note_answer(const struct echo* echo, struct icmp_whole* whole) {
  __u32 arrived = bpf_ntohs(echo->sequence), pending = whole->pending;
  whole->answered = now();
  whole->unanswered = 0;
  whole->pending = 0;
  if (arrived < pending) {
    if (pending <= whole->proven || arrived > whole->proven) whole->proven = arrived;
    whole->refused = pending;
    whole->failures++;
  } else if (pending) {
    if (arrived > whole->proven) whole->proven = arrived;
    if (arrived >= whole->refused) whole->refused = whole->failures = 0;
  }
  return TC_ACT_SHOT;
}

/* Whether the message is of a flow here. Does not keep a session alive, which a program has to do. */
static __always_inline int is_of_flow(const struct packet* packet, const struct echo* echo,
                                      __u64 addresses) {
  struct icmp_user_key user_key;
  __u8 profile;
  __be16 client_port;
  __u16 tag = tag_of(packet, echo, addresses);
  if (echo->code != 0) return 0;
  if (is_reply(packet, echo))
    return find_reply(&packet->source, echo, tag, &profile, &client_port) != NULL;
  if (!is_request(packet, echo)) return 0;
  struct icmp_user* user = find_user(echo, tag, &user_key);
  return user && find_session(packet, echo, &user_key, user, now()) != NULL;
}

/* A question or an answer. */
static __noinline int meet_question(struct __sk_buff* context, const struct icmp_device* device) {
  __u8 version;
  if (!device || device->link_header != ETH_HLEN || context->pkt_type != PACKET_HOST ||
      context->gso_size || read_bytes(context, ETH_HLEN, &version, sizeof(version)))
    return TC_ACT_UNSPEC;
  struct packet packet;
  struct echo echo;
  int ipv6 = version >> 4 == 6, field;
  if (parse_context(context, ipv6, ETH_HLEN, &packet) != PARSED ||
      packet.protocol != (ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP) || packet.fragment ||
      packet.bound || read_bytes(context, packet.l4, &echo, sizeof(echo)) ||
      unfinished_from(context, &field) != (int)packet.l4)
    return TC_ACT_UNSPEC;
  __u64 addresses = sum_addresses(&packet);
  if (!is_of_flow(&packet, &echo, addresses)) return TC_ACT_UNSPEC;
  struct icmp_whole* whole = find_whole(context, &packet, &echo, addresses);
  if (!whole) return TC_ACT_UNSPEC;
  return context->protocol == QUESTION ? answer(context, &packet, &echo, whole)
                                       : note_answer(&echo, whole);
}

#endif
