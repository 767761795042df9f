/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A UDP header becomes the header of an ICMP echo message and the other way round, without looking at the payload.
 *
 *     0       2        4       6       8                    0     1     2         4           6         8
 *     | source | target | length | check | payload   <-->   | type | code | checksum | identifier | sequence | payload
 *
 * Theory of operation. A message is valid when its words, and those of the pseudo-header, sum to 0xffff, that is to zero
 * (all arithmetic is ones'-complement). *Any* aligned word of it can be the one that makes this true. So the checksum
 * field is free to carry something else, and the sequence number, where UDP has its checksum, balances the message:
 *
 *     checksum   = tag - identifier (ICMPv6: - addresses)     what a NAT keeps: it changes the identifier and repairs
 *                                                             the checksum (or addresses and checksum)
 *     sequence   = - type,code - checksum - identifier - payload (ICMPv6: - pseudo-header)
 *
 *  - A complete UDP checksum tells the sum of the payload: payload = - check - pseudo-header - ports - length. From there
 *    the sequence number follows in O(1). A wrong checksum stays wrong by the same amount to the far end.
 *  - An unfinished one (CHECKSUM_PARTIAL) holds the sum of the pseudo-header, and the kernel or the device will sum from
 *    the header to the end of the packet, and write the complement where the UDP checksum was: *into the sequence
 *    number*. So only the pseudo-header of ICMP is put there: nothing over IPv4.
 *
 * The way back is the same equation, solved for the UDP checksum. In the profile tutu the checksum is an ordinary one,
 * the code is the user, and identifier and sequence are given.
 */
#ifndef WARREN_CARRIER_BPF_ICMP_MESSAGE_H
#define WARREN_CARRIER_BPF_ICMP_MESSAGE_H

#include "checksum.h"
#include "packet.h"

enum { ECHO_REQUEST4 = 8, ECHO_REPLY4 = 0, ECHO_REQUEST6 = 128, ECHO_REPLY6 = 129 };

struct echo {
  __u8 type;
  __u8 code;
  __sum16 checksum;
  __be16 identifier;
  __be16 sequence;
};

static __always_inline __u8 echo_type(const struct packet* packet, int reply) {
  if (packet->ipv6) return reply ? ECHO_REPLY6 : ECHO_REQUEST6;
  return reply ? ECHO_REPLY4 : ECHO_REQUEST4;
}

static __always_inline __be16 type_and_code(const struct echo* echo) {
  return bpf_htons((echo->type << 8) | echo->code);
}

static __always_inline __u64 sum_icmp_pseudo_header(const struct packet* packet, __u64 addresses) {
  return packet->ipv6 ? sum_pseudo_header(packet, addresses, PROTOCOL_ICMPV6) : 0;
}

/* What the header says of the sum of the payload: its negative. */
static __always_inline __u16 payload_by_udp(const struct packet* packet, const struct udphdr* udp,
                                            __u64 addresses) {
  return fold(sum_pseudo_header(packet, addresses, IPPROTO_UDP) + udp->source + udp->dest +
              udp->len + udp->check);
}
static __always_inline __u16 payload_by_icmp(const struct packet* packet, const struct echo* echo,
                                             __u64 addresses) {
  return fold(sum_icmp_pseudo_header(packet, addresses) + type_and_code(echo) + echo->checksum +
              echo->identifier + echo->sequence);
}

static __always_inline __u16 tag_of(const struct packet* packet, const struct echo* echo,
                                    __u64 addresses) {
  return bpf_ntohs(fold((__u64)echo->checksum + echo->identifier + (packet->ipv6 ? addresses : 0)));
}

/* Type, code and identifier are given. `negative_payload`: minus the sum of the payload. */
static __always_inline void balance(const struct packet* packet, struct echo* echo, __u16 tag,
                                    __u64 addresses, __u16 negative_payload) {
  __u64 pseudo_header = sum_icmp_pseudo_header(packet, addresses);
  __u64 taken = echo->identifier + (packet->ipv6 ? addresses : 0);
  echo->checksum = fold((__u64)bpf_htons(tag) + negative(taken));
  echo->sequence = fold((__u64)negative_payload + negative(pseudo_header + type_and_code(echo) +
                                                           echo->checksum + echo->identifier));
}

/* As above, for a checksum that the kernel or the device finishes. */
static __always_inline void balance_unfinished(const struct packet* packet, struct echo* echo,
                                               __u16 tag, __u64 addresses) {
  __u64 taken = echo->identifier + (packet->ipv6 ? addresses : 0);
  echo->checksum = fold((__u64)bpf_htons(tag) + negative(taken));
  echo->sequence = fold(sum_icmp_pseudo_header(packet, addresses));
}

/* An ordinary checksum; type, code, identifier and sequence are given. */
static __always_inline void checksum_message(const struct packet* packet, struct echo* echo,
                                             __u64 addresses, __u16 negative_payload) {
  __u64 pseudo_header = sum_icmp_pseudo_header(packet, addresses);
  echo->checksum = fold((__u64)negative_payload + negative(pseudo_header + type_and_code(echo) +
                                                           echo->identifier + echo->sequence));
}

/* The UDP checksum that belongs to the message. 0 would mean "none" (RFC 768). Ports and length are given. */
static __always_inline void restore_checksum(const struct packet* packet, struct udphdr* udp,
                                             __u64 addresses, __u16 negative_payload) {
  __u64 payload = (__u16)~negative_payload;
  __sum16 check = negative(sum_pseudo_header(packet, addresses, IPPROTO_UDP) + udp->source +
                           udp->dest + udp->len + payload);
  udp->check = check ? check : 0xffff;
}

#endif
