/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The maps of icmp_abi.h, and the small things that are done with them. The program that loads this may change
 * max_entries. What the control plane alone writes takes memory as it is used; `sessions` and `fragments` are written
 * per packet, so their memory is there from the start. */
#ifndef WARREN_CARRIER_BPF_ICMP_MAPS_H
#define WARREN_CARRIER_BPF_ICMP_MAPS_H

#include "packet.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, ICMP_DEVICES);
  __type(key, __u32);
  __type(value, struct icmp_device);
} devices SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct icmp_server_key);
  __type(value, struct icmp_server);
} servers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct icmp_reply_key);
  __type(value, struct icmp_reply);
} replies SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct icmp_user_key);
  __type(value, struct icmp_user);
} users SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, ICMP_PORT_WORDS);
  __type(key, __u32);
  __type(value, struct icmp_ports);
} ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 131072);
  __type(key, struct icmp_session_key);
  __type(value, struct icmp_session);
} sessions SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, ICMP_CACHE_SIZE);
  __type(key, __u32);
  __type(value, struct icmp_cached);
} cache SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} generation SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct icmp_whole_key);
  __type(value, struct icmp_whole);
} wholes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, ICMP_REASON_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} drops SEC(".maps");

/* First fragments that were dropped, so that the others, which have no ports, go too. */
struct fragment_key {
  struct icmp_address source;
  struct icmp_address destination;
  __u32 id;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1024);
  __type(key, struct fragment_key);
  __type(value, __u8);
} fragments SEC(".maps");

static __always_inline struct icmp_device* find_device(__u32 ifindex) {
#pragma unroll
  for (__u32 probe = 0; probe < ICMP_DEVICE_PROBES; probe++) {
    __u32 slot = (ifindex + probe) % ICMP_DEVICES;
    struct icmp_device* device = bpf_map_lookup_elem(&devices, &slot);
    if (device && device->ifindex == ifindex) return device;
  }
  return NULL;
}

static __always_inline int is_served(__be16 port) {
  __u32 number = bpf_ntohs(port), word = number / 64;
  struct icmp_ports* found = bpf_map_lookup_elem(&ports, &word);
  return found && found->served >> number % 64 & 1;
}

static __always_inline int is_of_server(__be16 port) {
  __u32 number = bpf_ntohs(port), word = number / 64;
  struct icmp_ports* found = bpf_map_lookup_elem(&ports, &word);
  return found && found->servers >> number % 64 & 1;
}

static __always_inline void count_reason(__u32 reason) {
  __u64* counter = bpf_map_lookup_elem(&drops, &reason);
  if (counter) __sync_fetch_and_add(counter, 1);
}

static __always_inline void fragment_key(const struct packet* packet, struct fragment_key* key) {
  key->source = packet->source;
  key->destination = packet->destination;
  key->id = packet->fragment_id;
}

static __always_inline void remember_fragment(const struct packet* packet) {
  struct fragment_key key;
  __u8 dropped = 1;
  fragment_key(packet, &key);
  bpf_map_update_elem(&fragments, &key, &dropped, BPF_ANY);
}

static __always_inline int was_dropped(const struct packet* packet) {
  struct fragment_key key;
  fragment_key(packet, &key);
  return bpf_map_lookup_elem(&fragments, &key) != NULL;
}

#define SECOND 1000000000ull

/* How the number of the kernel's ticks becomes CLOCK_MONOTONIC, give or take a second; 0: that is not known. */
const volatile __u64 tick_ns = 0;
const volatile __u64 first_tick = 0;

/* Reading the number of ticks is one instruction, where the clock is a call. */
static __always_inline __u64 now(void) {
  return tick_ns ? (bpf_jiffies64() - first_tick) * tick_ns : bpf_ktime_get_coarse_ns();
}

static __always_inline int is_over(const struct icmp_session* session, const struct icmp_user* user,
                                   __u64 time) {
  /* The coarse clock of another CPU can be a tick ahead. */
  return time > session->last_seen && time - session->last_seen > user->max_age * SECOND;
}

#endif
