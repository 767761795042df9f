/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* ICMP errors about carried packets: those that routers send, and those that we send.
 *
 * A router quotes the packet that it could not forward, which is the message on the wire. The socket knows only UDP, so
 * the quoted headers are restored, and the error's own checksum follows the change of its words:
 *
 *     | IP | error | IP quoted      | echo, 8 bytes ...        ("packet too big" about an echo request)
 *                    protocol: ICMP   becomes
 *                    protocol: UDP    UDP, 8 bytes ...         ("packet too big" about UDP: reaches the socket)
 *
 * A fragment of a carried datagram cannot be carried: only the first one has the header that is rewritten. Its sender
 * is told what a router tells who may not fragment, so that it sends smaller datagrams or gets EMSGSIZE. The fragment
 * itself becomes that answer and is received from the device as if the server had sent it:
 *
 *     | Ethernet | IP | UDP | data ...          cut off behind the UDP header
 *     | Ethernet |          | IP | UDP |        room for two headers
 *     | Ethernet | IP | ICMP| IP | UDP |        from the destination, to the source; MAC addresses exchanged
 */
#ifndef WARREN_CARRIER_BPF_ICMP_ERRORS_H
#define WARREN_CARRIER_BPF_ICMP_ERRORS_H

#include "icmp_in.h"
#include "icmp_out.h"

enum { UNREACHABLE4 = 3, TIME_EXCEEDED4 = 11, PARAMETER_PROBLEM4 = 12 };
enum { UNREACHABLE6 = 1, TOO_BIG6 = 2, TIME_EXCEEDED6 = 3, PARAMETER_PROBLEM6 = 4 };

struct icmp_error {
  __u8 type;
  __u8 code;
  __sum16 checksum;
  __be32 mtu; /* ICMP: in the lower half */
};

static __always_inline int is_error(const struct packet* packet, __u8 type) {
  return packet->ipv6
             ? type >= UNREACHABLE6 && type <= PARAMETER_PROBLEM6
             : type == UNREACHABLE4 || type == TIME_EXCEEDED4 || type == PARAMETER_PROBLEM4;
}

/* The ports of the UDP header of which a quoted message was made; 0 where it is none of ours. */
static __always_inline int quoted_ports(const struct packet* quoted, const struct echo* echo,
                                        __u16 tag, struct udphdr* udp) {
  if (is_request(quoted, echo)) {
    __u8 profile;
    struct icmp_reply* reply = find_reply(&quoted->destination, echo, tag, &profile, &udp->source);
    if (!reply) return 0;
    udp->dest = reply->port;
    return 1;
  }
  struct icmp_user_key user_key;
  struct icmp_user* user = is_reply(quoted, echo) ? find_user(echo, tag, &user_key) : NULL;
  if (!user) return 0;
  struct icmp_session_key key = {
      .address = quoted->destination, .identifier = echo->identifier, .port = user->port};
  if (!bpf_map_lookup_elem(&sessions, &key)) return 0;
  udp->source = user->port;
  udp->dest = echo->identifier;
  return 1;
}

static __noinline int parse_quoted(struct __sk_buff* context, __u32 l3, struct packet* quoted) {
  if (!quoted || l3 > MAX_HEADERS) return PARSED_NOT_IP;
  return parse(start_of(context), end_of(context), context->protocol == bpf_htons(ETH_P_IPV6), l3,
               quoted);
}

/* `l4`: where the error is. Returns a verdict. */
static __noinline int restore_quoted(struct __sk_buff* context, __u32 l4, __sum16 checksum) {
  struct packet quoted;
  __u32 readable = context->len < 2 * MAX_HEADERS ? context->len : 2 * MAX_HEADERS;
  if (bpf_skb_pull_data(context, readable)) return TC_ACT_UNSPEC;
  if (parse_quoted(context, l4 + sizeof(struct icmp_error), &quoted) != PARSED)
    return TC_ACT_UNSPEC;
  struct echo echo;
  if (quoted.protocol != (quoted.ipv6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP) || quoted.fragment ||
      quoted.l4_length < sizeof(echo) ||
      bpf_skb_load_bytes(context, quoted.l4, &echo, sizeof(echo)))
    return TC_ACT_UNSPEC;
  __u64 addresses = sum_addresses(&quoted);
  struct udphdr udp = {.len = bpf_htons(quoted.l4_length)};
  if (!quoted_ports(&quoted, &echo, tag_of(&quoted, &echo, addresses), &udp)) return TC_ACT_UNSPEC;
  restore_checksum(&quoted, &udp, addresses, payload_by_icmp(&quoted, &echo, addresses));

  __u64 before = (__u64)type_and_code(&echo) + echo.checksum + echo.identifier + echo.sequence;
  __u64 after = (__u64)udp.source + udp.dest + udp.len + udp.check;
  if (quoted.ipv6) { /* IPv4 has a checksum, which keeps the sum of its header as it was */
    before += bpf_htons(PROTOCOL_ICMPV6 << 8);
    after += bpf_htons(IPPROTO_UDP << 8);
  }
  checksum = negative((__u64)(__u16)~checksum + negative(before) + after);
  __u32 checksum_at = l4 + offsetof(struct icmp_error, checksum);
  __u64 change;
  if (store_headers(context, &quoted, IPPROTO_UDP, &udp, &change)) return drop(ICMP_DROP_REWRITE);
  change_sum(context, change);
  if (bpf_skb_store_bytes(context, checksum_at, &checksum, sizeof(checksum), BPF_F_RECOMPUTE_CSUM))
    return drop(ICMP_DROP_REWRITE);
  return TC_ACT_UNSPEC;
}

/* The headers of an answer. */
struct answer4 {
  struct iphdr ip;
  struct icmp_error error;
};
struct answer6 {
  struct ipv6hdr ip;
  struct icmp_error error;
};

static __always_inline int write_answer4(struct __sk_buff* context, const struct packet* packet,
                                         __u32 mtu, __u64 sum, __u32 quoted) {
  struct answer4 answer = {
      .ip = {.version = 4,
             .ihl = 5,
             .tot_len = bpf_htons(sizeof(answer) + quoted),
             .ttl = 64,
             .protocol = IPPROTO_ICMP,
             .saddr = packet->destination.word[3],
             .daddr = packet->source.word[3]},
      .error = {.type = UNREACHABLE4, .code = 4, .mtu = bpf_htonl(mtu & 0xffff)}};
  answer.ip.check = negative((__u64)bpf_htons(0x4500) + answer.ip.tot_len +
                             bpf_htons(64 << 8 | IPPROTO_ICMP) + answer.ip.saddr + answer.ip.daddr);
  answer.error.checksum = negative(sum + bpf_htons(UNREACHABLE4 << 8 | 4) + answer.error.mtu);
  return bpf_skb_store_bytes(context, packet->l3, &answer, sizeof(answer), 0);
}

static __always_inline int write_answer6(struct __sk_buff* context, const struct packet* packet,
                                         __u32 mtu, __u64 sum, __u32 quoted) {
  struct answer6 answer = {.ip = {.version = 6,
                                  .payload_len = bpf_htons(sizeof(answer.error) + quoted),
                                  .nexthdr = PROTOCOL_ICMPV6,
                                  .hop_limit = 64},
                           .error = {.type = TOO_BIG6, .mtu = bpf_htonl(mtu)}};
  __builtin_memcpy(&answer.ip.saddr, &packet->destination, sizeof(answer.ip.saddr));
  __builtin_memcpy(&answer.ip.daddr, &packet->source, sizeof(answer.ip.daddr));
  sum += sum_addresses(packet) + answer.ip.payload_len + bpf_htons(PROTOCOL_ICMPV6);
  answer.error.checksum = negative(sum + bpf_htons(TOO_BIG6 << 8) + answer.error.mtu);
  return bpf_skb_store_bytes(context, packet->l3, &answer, sizeof(answer), 0);
}

/* Turns a first fragment into the answer to its sender. Returns a verdict. */
static __always_inline int answer_too_big(struct __sk_buff* context, const struct packet* packet,
                                          __u32 mtu) {
  __u32 quoted = packet->l4 + sizeof(struct udphdr) - packet->l3;
  __u32 room = packet->ipv6 ? sizeof(struct answer6) : sizeof(struct answer4);
  __u64 sum = 0;
  if (packet->l3 == ETH_HLEN) {
    __u8 mac[2 * ETH_ALEN];
    if (bpf_skb_load_bytes(context, 0, mac, sizeof(mac)) ||
        bpf_skb_store_bytes(context, 0, mac + ETH_ALEN, ETH_ALEN, 0) ||
        bpf_skb_store_bytes(context, ETH_ALEN, mac, ETH_ALEN, 0))
      return TC_ACT_SHOT;
  }
  if (bpf_skb_change_tail(context, packet->l3 + quoted, 0) ||
      sum_bytes(context, packet->l3, packet->l3 + quoted, &sum) ||
      bpf_skb_adjust_room(context, room, BPF_ADJ_ROOM_MAC, 0) ||
      (packet->ipv6 ? write_answer6(context, packet, mtu, sum, quoted)
                    : write_answer4(context, packet, mtu, sum, quoted)))
    return TC_ACT_SHOT;
  return bpf_redirect(context->ifindex, BPF_F_INGRESS);
}

#endif
