/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the programs need of the kernel's sk_buff: to read from it, which checksum is still unfinished, and to finish it.
 *
 * Theory of operation: how a program finishes a checksum. A packet whose checksum is unfinished (CHECKSUM_PARTIAL) is
 * summed by the kernel or the device from csum_start on. No helper ends that state as such. But the kernel ends it itself
 * when the packet's data no longer includes csum_start, since somebody must have taken that header off: then there is
 * nothing left to finish (__skb_postpull_rcsum, kernel 4.4). So the headers are taken off, and put back:
 *
 *     | Ethernet | IP | UDP | payload            csum_start = UDP
 *                | Ethernet   ... | payload      bpf_skb_adjust_room(-n): the data now begins behind csum_start
 *                                                bpf_skb_store_bytes(BPF_F_RECOMPUTE_CSUM): CHECKSUM_NONE
 *     | Ethernet | IP | UDP | payload            bpf_skb_adjust_room(+n), and the n bytes are written back
 *
 * This moves 14 bytes of link header and n = 36 bytes, and needs no memory: the room is where the headers were. The
 * sum of the payload is taken before, 512 bytes at a time.
 */
#ifndef WARREN_CARRIER_BPF_SKB_H
#define WARREN_CARRIER_BPF_SKB_H

// clang-format off: libbpf's headers need the kernel's types first.
#include "packet.h"
#include <linux/version.h>
#include <bpf/bpf_core_read.h>
// clang-format on

#include "checksum.h"

enum { CHECKSUM_COMPLETE_ = 2, CHECKSUM_PARTIAL_ = 3 }; /* include/linux/skbuff.h */

struct net {
  __u64 net_cookie;
} __attribute__((preserve_access_index));
typedef struct {
  struct net* net;
} __attribute__((preserve_access_index)) possible_net_t;
struct net_device {
  possible_net_t nd_net;
} __attribute__((preserve_access_index));
struct skb_shared_info {
  unsigned int gso_type;
} __attribute__((preserve_access_index));
struct sk_buff {
  struct net_device* dev;
  unsigned int end; /* from head, where pointers have 64 bits: there is skb_shared_info */
  unsigned char* head;
  unsigned char* data;
  __u16 csum_start; /* from head */
  __u16 csum_offset;
  __u8 ip_summed : 2;
  __u8 l4_hash : 1;
} __attribute__((preserve_access_index));

extern int LINUX_KERNEL_VERSION __kconfig;
extern void* bpf_cast_to_kern_ctx(void* context) __ksym __weak; /* kernel 6.2 */

static __always_inline void* start_of(const struct __sk_buff* context) {
  return (void*)(long)context->data;
}
static __always_inline void* end_of(const struct __sk_buff* context) {
  return (void*)(long)context->data_end;
}

/* Parses; where the headers are not all in the linear part of the packet, moves them there first. */
static __always_inline int parse_context(struct __sk_buff* context, int ipv6, __u32 l3,
                                         struct packet* packet) {
  int result = parse(start_of(context), end_of(context), ipv6, l3, packet);
  if (likely(result == PARSED &&
             start_of(context) + packet->l4 + sizeof(struct udphdr) <= end_of(context)))
    return PARSED;
  if (result != PARSED && result != PARSED_BEYOND) return result;
  __u32 wanted = context->len < MAX_HEADERS ? context->len : MAX_HEADERS;
  if (bpf_skb_pull_data(context, wanted)) return PARSED_FAILED;
  return parse(start_of(context), end_of(context), ipv6, l3, packet);
}

/* Copies `size` bytes, a constant, from `at`: mostly those can be read directly. */
static __always_inline int read_bytes(struct __sk_buff* context, __u32 at, void* to, __u32 size) {
  void* from = start_of(context) + at;
  if (unlikely(at > 2 * MAX_HEADERS || from + size > end_of(context)))
    return bpf_skb_load_bytes(context, at, to, size);
  __builtin_memcpy(to, from, size);
  return 0;
}

/* The cookie of the network namespace of the packet's device. */
static __always_inline __u64 netns_of(struct __sk_buff* context) {
  if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 2, 0)) {
    struct sk_buff* skb = bpf_cast_to_kern_ctx(context);
    return skb->dev->nd_net.net->net_cookie;
  }
  struct sk_buff* skb = (struct sk_buff*)context;
  return BPF_CORE_READ(skb, dev, nd_net.net, net_cookie);
}

#define NOTHING_UNFINISHED (-1)

/* Where the kernel will begin to sum (an offset into the packet), or NOTHING_UNFINISHED. `field`: where it will write. */
static __always_inline int unfinished_from(struct __sk_buff* context, int* field) {
  if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 2, 0)) {
    struct sk_buff* skb = bpf_cast_to_kern_ctx(context);
    if (BPF_CORE_READ_BITFIELD(skb, ip_summed) != CHECKSUM_PARTIAL_) return NOTHING_UNFINISHED;
    int start = skb->csum_start - (int)(skb->data - skb->head);
    *field = start + skb->csum_offset;
    return start;
  }
  /* The context of these programs is the sk_buff itself; it may be read, byte by byte, but not followed. */
  struct sk_buff* skb = (struct sk_buff*)context;
  if (BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed) != CHECKSUM_PARTIAL_) return NOTHING_UNFINISHED;
  int start =
      BPF_CORE_READ(skb, csum_start) - (int)(BPF_CORE_READ(skb, data) - BPF_CORE_READ(skb, head));
  *field = start + BPF_CORE_READ(skb, csum_offset);
  return start;
}

#define GSO_UDP_SEGMENTS (1 << 17) /* SKB_GSO_UDP_L4 in include/linux/skbuff.h, kernel 4.18 */

/* Whether a super-packet stands for UDP datagrams and nothing else: no tunnel around it, no virtual machine's word. */
static __always_inline int is_udp_segments(struct __sk_buff* context) {
  struct sk_buff* skb = (struct sk_buff*)context;
  if (bpf_core_field_size(skb->head) != 8) return 0;
  __u32 type = 0;
  if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 2, 0)) {
    skb = bpf_cast_to_kern_ctx(context);
    struct skb_shared_info* shared = (void*)skb->head + skb->end;
    return bpf_core_read(&type, sizeof(type), &shared->gso_type) == 0 && type == GSO_UDP_SEGMENTS;
  }
  struct skb_shared_info* shared = (void*)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);
  return bpf_core_read(&type, sizeof(type), &shared->gso_type) == 0 && type == GSO_UDP_SEGMENTS;
}

/* Where the device has summed the packet (CHECKSUM_COMPLETE), that sum follows a change of the packet's words. */
static __always_inline void change_sum(struct __sk_buff* context, __u64 change) {
  if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 2, 0)) {
    struct sk_buff* skb = bpf_cast_to_kern_ctx(context);
    if (BPF_CORE_READ_BITFIELD(skb, ip_summed) != CHECKSUM_COMPLETE_) return;
  }
  bpf_csum_update(context, fold(change));
}

/* A hash of the message counts no ports. One that counts them is of the flow already: its sender's socket made it. */
static __always_inline void forget_hash(struct __sk_buff* context) {
  if (!context->hash) return;
  if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 2, 0)) {
    struct sk_buff* skb = bpf_cast_to_kern_ctx(context);
    if (BPF_CORE_READ_BITFIELD(skb, l4_hash)) return;
  }
  bpf_set_hash_invalid(context);
}

#define CHUNK 512
#define MAX_CHUNKS 128 /* 64 KiB */

struct chunk {
  __be32 word[CHUNK / 4 + 1];
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct chunk);
} scratch SEC(".maps");

/* Makes the verifier of kernel 6.1 see that 1 <= size <= most; otherwise the function ends with `failure`. It learns
 * nothing from `size != 0`, and the compiler must not know that the two numbers are related. */
#define REQUIRE_SIZE(size, most, failure)    \
  do {                                       \
    __u32 less = (size) - 1;                 \
    barrier_var(less);                       \
    if (less > (most) - 1) return (failure); \
    (size) = less + 1;                       \
  } while (0)

struct summing {
  struct __sk_buff* context;
  struct chunk* chunk;
  __u32 from;
  __u32 to;
  __u32 sum;
  int failed;
};

/* For bpf_loop(): a loop that the verifier need not walk through. Ends with 1. */
static long sum_chunk(__u32 index, void* argument) {
  struct summing* summing = argument;
  struct chunk* chunk = summing->chunk;
  __u32 from = summing->from, size = summing->to - from;
  if (size >= CHUNK) {
    summing->failed = bpf_skb_load_bytes(summing->context, from, chunk->word, CHUNK);
    summing->sum = bpf_csum_diff(NULL, 0, chunk->word, CHUNK, summing->sum);
    summing->from = from + CHUNK;
    return summing->failed != 0 || summing->from == summing->to;
  }
  summing->failed = 1;
  REQUIRE_SIZE(size, CHUNK - 1, 1);
  __u32 words = size / 4;
  chunk->word[words] = 0; /* the helper sums whole words */
  if (bpf_skb_load_bytes(summing->context, from, chunk->word, size)) return 1;
  summing->sum = bpf_csum_diff(NULL, 0, chunk->word, words * 4 + 4, summing->sum);
  summing->failed = 0;
  return 1;
}

/* Adds the sum of the packet's bytes [from, to) to *sum. */
static __always_inline int sum_bytes(struct __sk_buff* context, __u32 from, __u32 to, __u64* sum) {
  __u32 zero = 0;
  struct summing summing = {
      .context = context, .chunk = bpf_map_lookup_elem(&scratch, &zero), .from = from, .to = to};
  if (from == to) return 0;
  if (!summing.chunk || from > to) return -1;
  bpf_loop(MAX_CHUNKS + 1, sum_chunk, &summing, 0);
  *sum += summing.sum;
  return summing.failed;
}

#define MAX_SAVED 128

/* Ends the state "unfinished" as drawn above; the packet's bytes stay. The caller writes the finished checksum. */
static __always_inline int forget_unfinished(struct __sk_buff* context,
                                             const struct packet* packet) {
  __u32 size = packet->l4 + 2, zero = 0, length = context->len;
  __u32 base = packet->l3 + (packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
  __u16 front;
  int field;
  struct chunk* saved = bpf_map_lookup_elem(&scratch, &zero);
  if (!saved || size > MAX_SAVED) return -1;
  /* What is left must look like an IP header to the helper: a short packet is made longer for a while. */
  if (length < base + size && bpf_skb_change_tail(context, base + size, 0)) return -1;
  REQUIRE_SIZE(size, MAX_SAVED, -1);
  if (bpf_skb_load_bytes(context, packet->l3, saved, size) ||
      bpf_skb_adjust_room(context, -(int)size, BPF_ADJ_ROOM_MAC, 0) ||
      bpf_skb_load_bytes(context, 0, &front, sizeof(front)) ||
      bpf_skb_store_bytes(context, 0, &front, sizeof(front), BPF_F_RECOMPUTE_CSUM) ||
      bpf_skb_adjust_room(context, size, BPF_ADJ_ROOM_MAC, 0) ||
      bpf_skb_store_bytes(context, packet->l3, saved, size, 0))
    return -1;
  if (length < base + size && bpf_skb_change_tail(context, length, 0)) return -1;
  return unfinished_from(context, &field) == NOTHING_UNFINISHED ? 0 : -1;
}

#endif
