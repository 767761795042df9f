/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The way in: whether an echo message carries UDP, and what UDP header it stands for.
 *
 * What is not certainly ours goes on as the ordinary ping that it probably is. A tag is 16 bits, so where there are many
 * users a ping has a tag of one by chance: only a first packet that no ping looks like opens a session. */
#ifndef WARREN_CARRIER_BPF_ICMP_IN_H
#define WARREN_CARRIER_BPF_ICMP_IN_H

#include "icmp_cache.h"
#include "icmp_maps.h"
#include "icmp_message.h"

#define WIREGUARD_INITIATION_SIZE 148
#define WIREGUARD_INITIATION bpf_htonl(0x01000000)

static __always_inline int is_from(const struct icmp_address* address,
                                   const struct icmp_user* user) {
  __u32 bits = user->from_bits;
  if (bits == 0) return 1;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    __u32 here = bits > 32 * i ? bits - 32 * i : 0;
    __u32 mask = here >= 32 ? 0xffffffff : ~(0xffffffff >> here);
    if ((address->word[i] ^ user->from.word[i]) & bpf_htonl(mask)) return 0;
  }
  return 1;
}

static __always_inline int opens_session(struct __sk_buff* context, const struct packet* packet,
                                         const struct icmp_user* user) {
  __be32 start;
  if (user->first == ICMP_FIRST_ANY) return 1;
  return packet->l4_length == sizeof(struct echo) + WIREGUARD_INITIATION_SIZE &&
         bpf_skb_load_bytes(context, packet->l4 + sizeof(struct echo), &start, sizeof(start)) ==
             0 &&
         start == WIREGUARD_INITIATION;
}

/* The user that a message names, by its tag or in the profile tutu by its code. */
static __always_inline struct icmp_user* find_user(const struct echo* echo, __u16 tag,
                                                   struct icmp_user_key* key) {
  key->tag = tag;
  key->profile = ICMP_PROFILE_WARREN;
  key->pad = 0;
  struct icmp_user* user = echo->code == 0 ? bpf_map_lookup_elem(&users, key) : NULL;
  if (user) return user;
  key->tag = echo->code;
  key->profile = ICMP_PROFILE_TUTU;
  return bpf_map_lookup_elem(&users, key);
}

/* The server of which a message is one, and this client's port. */
static __always_inline struct icmp_reply* find_reply(const struct icmp_address* server,
                                                     const struct echo* echo, __u16 tag,
                                                     __u8* profile, __be16* client_port) {
  struct icmp_reply_key key = {.address = *server, .tag = tag, .profile = ICMP_PROFILE_WARREN};
  struct icmp_reply* reply = echo->code == 0 ? bpf_map_lookup_elem(&replies, &key) : NULL;
  *profile = ICMP_PROFILE_WARREN;
  *client_port = echo->identifier;
  if (reply) return reply;
  key.tag = echo->code;
  *profile = key.profile = ICMP_PROFILE_TUTU;
  *client_port = echo->sequence; /* a NAT between may not know the way back of the identifier */
  return bpf_map_lookup_elem(&replies, &key);
}

/* The live session that a message of the user belongs to. */
static __always_inline struct icmp_session* find_session(const struct packet* packet,
                                                         const struct echo* echo,
                                                         const struct icmp_user_key* user_key,
                                                         const struct icmp_user* user, __u64 time) {
  struct icmp_session_key key = {
      .address = packet->source, .identifier = echo->identifier, .port = user->port};
  struct icmp_session* session = bpf_map_lookup_elem(&sessions, &key);
  return session && session->user.tag == user_key->tag &&
                 session->user.profile == user_key->profile && !is_over(session, user, time)
             ? session
             : NULL;
}

/* As a server. Returns whether the message is one of a user, whose tally and UDP ports are then set. With `context` it
 * makes sessions, and says in `reason` what was known but did not fit; without, it only finds sessions. */
static __always_inline int accept_request(const struct packet* packet, const struct echo* echo,
                                          __u16 tag, struct __sk_buff* context, struct udphdr* udp,
                                          struct tally* tally, int* reason) {
  struct icmp_user_key user_key;
  struct icmp_user* user = find_user(echo, tag, &user_key);
  if (!user) return 0;
  if (!is_from(&packet->source, user)) {
    if (context) *reason = ICMP_PASS_ADDRESS;
    return 0;
  }
  __u64 time = now();
  struct icmp_session* session = find_session(packet, echo, &user_key, user, time);
  if (session) {
    if (time > session->last_seen + SECOND - ICMP_CACHE_HOLDS_NS) session->last_seen = time;
    if (session->sequence != echo->sequence && user_key.profile == ICMP_PROFILE_TUTU)
      session->sequence = echo->sequence;
  } else {
    if (!context) return 0;
    if (!opens_session(context, packet, user)) {
      *reason = ICMP_PASS_NOT_OPENING;
      return 0;
    }
    struct icmp_session_key key = {
        .address = packet->source, .identifier = echo->identifier, .port = user->port};
    struct icmp_session made = {.last_seen = time, .user = user_key, .sequence = echo->sequence};
    if (bpf_map_update_elem(&sessions, &key, &made, BPF_NOEXIST)) {
      if (bpf_map_update_elem(&sessions, &key, &made, BPF_ANY)) {
        *reason = ICMP_DROP_REWRITE;
        return 0;
      }
      outdate_cache(); /* it was another user's */
    }
  }
  udp->source = echo->identifier;
  udp->dest = user->port;
  tally->counts = &user->counts;
  tally->profile = user_key.profile;
  return 1;
}

/* As a client. */
static __always_inline int accept_reply(const struct packet* packet, const struct echo* echo,
                                        __u16 tag, struct udphdr* udp, struct tally* tally) {
  struct icmp_reply* reply = find_reply(&packet->source, echo, tag, &tally->profile, &udp->dest);
  if (!reply) return 0;
  udp->source = reply->port;
  tally->counts = &reply->counts;
  return 1;
}

static __always_inline int is_request(const struct packet* packet, const struct echo* echo) {
  return echo->type == (packet->ipv6 ? ECHO_REQUEST6 : ECHO_REQUEST4);
}
static __always_inline int is_reply(const struct packet* packet, const struct echo* echo) {
  return echo->type == (packet->ipv6 ? ECHO_REPLY6 : ECHO_REPLY4);
}

/* Whether the message has the tag of a user, or comes from a server with the tag that is used there. */
static __always_inline int is_known(const struct packet* packet, const struct echo* echo,
                                    __u64 addresses) {
  struct icmp_user_key user_key;
  __u8 profile;
  __be16 client_port;
  __u16 tag = tag_of(packet, echo, addresses);
  if (is_request(packet, echo)) return find_user(echo, tag, &user_key) != NULL;
  return is_reply(packet, echo) &&
         find_reply(&packet->source, echo, tag, &profile, &client_port) != NULL;
}

/* The ports of the UDP header that the message stands for, and where it is counted; 0 where it stands for none. */
static __always_inline int accept_message(const struct packet* packet, const struct echo* echo,
                                          __u64 addresses, struct __sk_buff* context,
                                          struct udphdr* udp, struct tally* tally, int* reason) {
  int request = is_request(packet, echo);
  if (!request && !is_reply(packet, echo)) return 0;
  __u16 tag = tag_of(packet, echo, addresses);
  struct icmp_cache_key key = {.address = packet->source,
                               .port = echo->identifier,
                               .own = tag,
                               .way = request ? ICMP_WAY_REQUEST_IN : ICMP_WAY_REPLY_IN};
  struct vacancy vacancy = {};
  struct icmp_cached* cached = echo->code == 0 ? recall(&key, &vacancy) : NULL;
  if (likely(cached != NULL)) {
    udp->source = request ? echo->identifier : cached->found;
    udp->dest = request ? cached->found : echo->identifier;
    tally->cached = cached;
    return 1;
  }
  if (request ? !accept_request(packet, echo, tag, context, udp, tally, reason)
              : !accept_reply(packet, echo, tag, udp, tally))
    return 0;
  if (tally->profile == ICMP_PROFILE_WARREN)
    tally->cached = keep(&vacancy, &key, request ? udp->dest : udp->source, 0);
  return 1;
}

#endif
