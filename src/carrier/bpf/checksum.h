/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Ones'-complement sums of 16-bit words (RFC 1071), as they lie in memory: the sum does not depend on the byte order, so
 * that nothing is swapped but constants. A sum is a __u64 that is not yet folded. 0 and 0xffff are the same number; what
 * is folded here is 0 only for a sum of nothing but zeros. */
#ifndef WARREN_CARRIER_BPF_CHECKSUM_H
#define WARREN_CARRIER_BPF_CHECKSUM_H

#include "packet.h"

static __always_inline __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u16 negative(__u64 sum) { return ~fold(sum); }

/* Of both addresses. An IPv4 address is counted as ::ffff:a.b.c.d, which adds 0xffff, that is nothing. */
static __always_inline __u64 sum_addresses(const struct packet* packet) {
  __u64 sum = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) sum += (__u64)packet->source.word[i] + packet->destination.word[i];
  return sum;
}

/* What the transport checksum counts besides the message (RFC 768, RFC 8200 section 8.1). ICMP over IPv4 counts nothing. */
static __always_inline __u64 sum_pseudo_header(const struct packet* packet, __u64 addresses,
                                               __u8 protocol) {
  return addresses + bpf_htons(packet->l4_length) + bpf_htons(protocol);
}

/* A checksum after one of the words that it counts has changed (RFC 1624, equation 3). */
static __always_inline __sum16 update_checksum(__sum16 checksum, __be16 before, __be16 after) {
  return negative((__u64)(__u16)~checksum + (__u16)~before + after);
}

#endif
