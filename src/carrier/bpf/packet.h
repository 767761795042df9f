/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Where the headers of a packet begin, for programs of every kind (tc, XDP, cgroup): only pointers to the packet go in.
 *
 *     | Ethernet | IPv4 + options, or IPv6 + extension headers | UDP or ICMP | payload | padding
 *     0          l3                     ^ protocol_at            l4
 *                                       the byte that names     '---- l4_length ----'
 *                                       the transport protocol
 *
 * Nothing is changed here, and nothing is believed: every offset is checked against `end`, the end of what can be read
 * directly. Where that is less than the packet, the caller makes more of it readable and parses again.
 */
#ifndef WARREN_CARRIER_BPF_PACKET_H
#define WARREN_CARRIER_BPF_PACKET_H

// clang-format off: libbpf's headers need the kernel's types first.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "icmp_abi.h"

#define PROTOCOL_ICMPV6 58
#define MAX_EXTENSION_HEADERS 6
/* More than any packet's headers have; a packet that an error quotes begins within as many. */
#define MAX_HEADERS 1024
/* Any offset of a header, so that the verifier of kernel 6.1 sees that it is small. */
#define IN_SIGHT(offset)         \
  ({                             \
    __u32 seen = (offset);       \
    barrier_var(seen);           \
    seen &= 4 * MAX_HEADERS - 1; \
    barrier_var(seen);           \
    seen;                        \
  })

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

enum parsed {
  PARSED,
  PARSED_NOT_IP, /* or its IP header contradicts itself */
  PARSED_BEYOND, /* the headers go on behind `end` */
  PARSED_FAILED, /* the kernel could not make them readable: out of memory */
};

struct packet {
  struct icmp_address source;
  struct icmp_address destination;
  __u32 l3;
  __u32 l4;
  __u32 l4_length; /* from l4 to the end of the IP packet, by its own length */
  __u32 protocol_at;
  __u32 fragment_id;
  __u8 protocol;
  __u8 ipv6;
  __u8 fragment;       /* a part of a datagram */
  __u8 later_fragment; /* there is no transport header: that is in the first fragment */
  __u8 bound; /* by an authentication header or a source route: the headers cannot be rewritten */
};

static __always_inline __u32 ip_length(const struct packet* packet) {
  return packet->l4 - packet->l3 + packet->l4_length;
}

static __always_inline int parse_ipv4(void* data, void* end, __u32 l3, struct packet* packet) {
  struct iphdr* ip = data + l3;
  barrier_var(ip); /* the compiler must go on with the pointer that is checked */
  if ((void*)(ip + 1) > end) return PARSED_BEYOND;
  __u32 header = ip->ihl * 4, length = bpf_ntohs(ip->tot_len);
  if (ip->version != 4 || header < sizeof(*ip) || length < header) return PARSED_NOT_IP;
  __u16 fragment = bpf_ntohs(ip->frag_off) & 0x3fff; /* without "don't fragment" */
  packet->source.word[2] = packet->destination.word[2] = bpf_htonl(0xffff);
  packet->source.word[3] = ip->saddr;
  packet->destination.word[3] = ip->daddr;
  packet->l4 = l3 + header;
  packet->l4_length = length - header;
  packet->protocol_at = l3 + offsetof(struct iphdr, protocol);
  packet->protocol = ip->protocol;
  packet->fragment = fragment != 0;
  packet->later_fragment = (fragment & 0x1fff) != 0;
  packet->fragment_id = ip->id;
  return PARSED;
}

struct extension {
  __u8 next;
  __u8 length; /* without the first 8 bytes, in 8 bytes; of an authentication header: in 4 bytes */
  __be16 fragment;
  __be32 fragment_id;
};

static __always_inline int parse_ipv6(void* data, void* end, __u32 l3, struct packet* packet) {
  struct ipv6hdr* ip = data + l3;
  barrier_var(ip);
  if ((void*)(ip + 1) > end) return PARSED_BEYOND;
  if (ip->version != 6) return PARSED_NOT_IP;
  __builtin_memcpy(&packet->source, &ip->saddr, 16);
  __builtin_memcpy(&packet->destination, &ip->daddr, 16);
  __u32 at = l3 + sizeof(*ip), last = at + bpf_ntohs(ip->payload_len);
  __u8 next = ip->nexthdr;
  packet->protocol_at = l3 + offsetof(struct ipv6hdr, nexthdr);
#pragma unroll
  for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
        next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
      break;
    if (packet->later_fragment || at > MAX_HEADERS) return PARSED_NOT_IP;
    struct extension* extension = data + at;
    if ((void*)(extension + 1) > end) return PARSED_BEYOND;
    packet->protocol_at = at;
    at += next == IPPROTO_AH ? (extension->length + 2) * 4 : (extension->length + 1) * 8;
    if (next == IPPROTO_AH) packet->bound = 1;
    /* The byte after the type of a routing header is the number of hops that are still to come. */
    if (next == IPPROTO_ROUTING && (extension->fragment & bpf_htons(0xff))) packet->bound = 1;
    if (next == IPPROTO_FRAGMENT) {
      __u16 fragment = bpf_ntohs(extension->fragment);
      packet->fragment = (fragment & ~6) != 0;
      packet->later_fragment = (fragment & ~7) != 0;
      packet->fragment_id = extension->fragment_id;
    }
    next = extension->next;
  }
  if (at > MAX_HEADERS || at > last) return PARSED_NOT_IP;
  packet->l4 = at;
  packet->l4_length = last - at;
  packet->protocol = next;
  return PARSED;
}

/* l3: the bytes of the packet's link header, 0 or 14. Where `ipv6` is a constant, as on the fast path, all that is only
 * for the other family goes away. */
static __always_inline int parse(void* data, void* end, int ipv6, __u32 l3, struct packet* packet) {
  __builtin_memset(packet, 0, sizeof(*packet));
  packet->l3 = l3;
  packet->ipv6 = ipv6;
  return ipv6 ? parse_ipv6(data, end, l3, packet) : parse_ipv4(data, end, l3, packet);
}

#endif
