/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whose the packets of a flow are, as it was found out for one of them, and kept for those that follow.
 *
 * Theory of operation. To find out takes up to two look-ups in hash tables, which is most of what a packet costs here.
 * So each processor has an array of answers, in which the hash of a flow is its place:
 *
 *     carry     address and port of the other end, own port                   ──▶ tag, and whether it is a reply
 *     restore   address of the other end, identifier, tag, request or reply   ──▶ UDP port
 *
 * An answer is what the tables would say, since it is believed only where
 *  - its whole key is that of the packet;
 *  - `generation` is what it was. It counts the changes of servers, replies and users, and a session's change to another
 *    user. It is read before the tables are;
 *  - it is not older than ICMP_CACHE_HOLDS_NS. So the tables are asked often enough for a session to be renewed, to stay
 *    among those recently used, and to end.
 * There are only flows that are carried, and none of the profile tutu, whose sequence number may change.
 *
 * Flows with the same place take turns: whoever finds it out of date has it until it is out of date again, and the others
 * ask the tables. So where there are more flows than places, a comparison is all that is lost.
 *
 * A flow with a place is counted there, without atomic instructions. The next one to get the place first adds that to the
 * counts in the tables; whoever reads these adds what is still here (flow_cache.h).
 */
#ifndef WARREN_CARRIER_BPF_ICMP_CACHE_H
#define WARREN_CARRIER_BPF_ICMP_CACHE_H

#include "icmp_maps.h"

/* Tests let it hold longer, so that it does not matter how busy the machine is. */
const volatile __u64 cache_holds_ns = ICMP_CACHE_HOLDS_NS;

/* Where a flow is counted: in the cache, or with its server, reply or user. */
struct tally {
  struct icmp_cached* cached;
  struct icmp_counts* counts;
  __u8 profile;
};

/* A place for an answer, and what `generation` was before the tables were asked. */
struct vacancy {
  struct icmp_cached* place; /* NULL: there is none */
  __u64 generation;
};

static __always_inline __u64* current_generation(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&generation, &zero);
}

static __always_inline void outdate_cache(void) {
  __u64* current = current_generation();
  if (current) __sync_fetch_and_add(current, 1);
}

static __always_inline __u32 place_of(const struct icmp_cache_key* key) {
  __u32 mixed = key->address.word[0] ^ key->address.word[1] ^ key->address.word[2] ^
                key->address.word[3] ^ ((__u32)key->port << 16 | key->own) ^ key->way;
  return mixed * 0x9e3779b1 >> (32 - ICMP_CACHE_BITS);
}

static __always_inline int is_same_flow(const struct icmp_cache_key* a,
                                        const struct icmp_cache_key* b) {
  const __u64 *x = (const void*)a, *y = (const void*)b;
  return x[2] == y[2] && x[1] == y[1] && x[0] == y[0];
}

/* The answer that is cached, or NULL and perhaps a place for the one that the tables give. */
static __always_inline struct icmp_cached* recall(const struct icmp_cache_key* key,
                                                  struct vacancy* vacancy) {
  __u32 place = place_of(key);
  struct icmp_cached* cached = bpf_map_lookup_elem(&cache, &place);
  __u64* current = current_generation();
  if (unlikely(!cached || !current)) return NULL;
  if (likely(cached->generation == *current && now() - cached->time < cache_holds_ns))
    return likely(is_same_flow(&cached->key, key)) ? cached : NULL;
  vacancy->place = cached;
  vacancy->generation = __sync_fetch_and_add(current, 0); /* nothing is read before this is */
  return NULL;
}

static __always_inline struct icmp_counts* counts_of(const struct icmp_cached* cached) {
  const struct icmp_cache_key* key = &cached->key;
  if (key->way == ICMP_WAY_REPLY_IN) {
    struct icmp_reply_key at = {.address = key->address, .tag = key->own};
    struct icmp_reply* reply = bpf_map_lookup_elem(&replies, &at);
    return reply ? &reply->counts : NULL;
  }
  if (key->way == ICMP_WAY_OUT && !cached->is_reply) {
    struct icmp_server_key at = {.address = key->address, .port = key->port};
    struct icmp_server* server = bpf_map_lookup_elem(&servers, &at);
    return server ? &server->counts : NULL;
  }
  struct icmp_user_key at = {.tag = key->way == ICMP_WAY_OUT ? cached->found : key->own};
  struct icmp_user* user = bpf_map_lookup_elem(&users, &at);
  return user ? &user->counts : NULL;
}

/* Adds what was counted in the cache to where it belongs. */
static __noinline int settle(struct icmp_cached* cached) {
  struct icmp_counts* counts = counts_of(cached);
  if (counts && cached->generation >= counts->since) {
    int out = cached->key.way == ICMP_WAY_OUT;
    __sync_fetch_and_add(out ? &counts->tx_packets : &counts->rx_packets, cached->packets);
    __sync_fetch_and_add(out ? &counts->tx_bytes : &counts->rx_bytes, cached->bytes);
  }
  cached->packets = cached->bytes = 0;
  cached->settled++;
  return 0;
}

/* Puts the answer of the tables into the cache, where there is a place. Returns where the flow is counted. */
static __always_inline struct icmp_cached* keep(const struct vacancy* vacancy,
                                                const struct icmp_cache_key* key, __u16 found,
                                                __u8 is_reply) {
  struct icmp_cached* cached = vacancy->place;
  if (!cached) return NULL;
  if (cached->packets) settle(cached);
  cached->key = *key;
  cached->generation = vacancy->generation;
  cached->time = now();
  cached->found = found;
  cached->is_reply = is_reply;
  return cached;
}

/* How many packets, of how many bytes with their headers, a super-packet stands for. */
static __always_inline __u32 packets_of(const struct packet* packet, __u32 segment_size,
                                        __u32* bytes) {
  __u32 payload = packet->l4_length - sizeof(struct udphdr);
  __u32 packets = segment_size ? (payload + segment_size - 1) / segment_size : 1;
  *bytes = ip_length(packet) + (packets - 1) * (ip_length(packet) - payload);
  return packets;
}

static __always_inline void count(const struct tally* tally, int out, const struct packet* packet,
                                  __u32 segment_size) {
  __u32 bytes, packets = packets_of(packet, segment_size, &bytes);
  if (likely(tally->cached != NULL)) {
    tally->cached->packets += packets;
    tally->cached->bytes += bytes;
  } else if (tally->counts) {
    __sync_fetch_and_add(out ? &tally->counts->tx_packets : &tally->counts->rx_packets, packets);
    __sync_fetch_and_add(out ? &tally->counts->tx_bytes : &tally->counts->rx_bytes, bytes);
  }
}

#endif
