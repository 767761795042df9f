/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the kernel programs of the ICMP carrier and the program that sets them up agree on: the shape of every map.
 *
 *     client                                                      server
 *     udp  A:p ──▶ S:51820                                        udp  A':id ──▶ S:51820
 *       │ egress: servers[S, 51820] gives the tag                   ▲ ingress: users[checksum + identifier] gives the port,
 *       ▼                                                           │          sessions[A', id, port] is made or renewed
 *     icmp A ──▶ S  echo request, identifier p ══ wire, NAT ══▶ icmp A' ──▶ S  echo request, identifier id
 *
 *     udp  S:51820 ──▶ A:p                                        udp  S:51820 ──▶ A':id
 *       ▲ ingress: replies[S, tag] gives the port                   │ egress: sessions[A', id, 51820] gives the tag
 *       │                                                           ▼
 *     icmp S ──▶ A  echo reply, identifier p  ◀══ wire, NAT ══  icmp S ──▶ A'  echo reply, identifier id
 *
 * The programs, each attached to every device of `devices` but the guard: `carry` at tc egress (also at the far end of a
 * detour), `restore` at tc ingress, `restore_xdp` at XDP *beside* `restore`, to which it leaves all but the common case;
 * `guard` at cgroup egress of the root. Before they are loaded, their read-only data is set: `netns_cookie`
 * (SO_NETNS_COOKIE), which is how the guard knows whose device numbers `devices` has, and the length of a tick.
 *
 * Change ICMP_ABI_VERSION with any change here: it is part of the name under which the maps are pinned.
 * Integers are in host order unless they are be16. Padding is explicit and zero, because keys are compared as bytes.
 */
#ifndef WARREN_CARRIER_BPF_ICMP_ABI_H
#define WARREN_CARRIER_BPF_ICMP_ABI_H

#include <linux/types.h>

#define ICMP_ABI_VERSION 5
#define ICMP_NAME_SIZE 32

/* IPv4 as ::ffff:a.b.c.d; bytes in network order. */
struct icmp_address {
  __u32 word[4];
};

enum icmp_profile {
  ICMP_PROFILE_WARREN = 0, /* checksum + identifier is the tag */
  /* The code is the user, the checksum an ordinary one, identifier and sequence the client's port. */
  ICMP_PROFILE_TUTU = 1,
};

/* `devices`: how packets leave through a device. One that is not in there carries nothing.
 *
 * It is looked for with every packet, so this is an array, which a program reads without a call. A device is in one of
 * ICMP_DEVICE_PROBES slots from ifindex % ICMP_DEVICES on. Whoever writes a new one writes `ifindex` last. */
#define ICMP_DEVICES 1024
#define ICMP_DEVICE_PROBES 4
struct icmp_device {
  __u32 ifindex; /* 0: the slot is free */
  /* ifindex of a device that segments what is sent there, 0: there is none. Its gso_max_segs is 1, and its gso_max_size
   * small: packets that a virtual machine made do not say how many segments they stand for. */
  __u32 detour;
  __u32 exit; /* on the far end of a detour: ifindex of its device; 0: this is a real device */
  __u32 mtu;
  __u8 link_header; /* bytes before the IP header: 14 or 0 */
  __u8
      software; /* checksums are finished by the program, not by the device or another kernel; but of what is whole */
  __u8 closing; /* it is being detached: carried flows do not leave any more */
  __u8 may_be_whole; /* ask whether super-packets arrive whole */
  __u8 asked_for;    /* `software` is as a person wants it; else it is chosen at each attachment */
  __u8 pad[3];
};

/* The last fraction of a second may be in the cache only. */
struct icmp_counts {
  __u64 tx_packets; /* carried out by this host */
  __u64 tx_bytes;   /* of IP packets */
  __u64 rx_packets;
  __u64 rx_bytes;
  __u64
      since; /* the generation in which this began; what was cached before belonged to somebody else */
};

/* `servers`: where this host is a client. UDP to this address and port is carried. */
struct icmp_server_key {
  struct icmp_address address;
  __be16 port;
  __u16 pad;
};
struct icmp_server {
  struct icmp_counts counts;
  __u16 tag; /* or the user id, in the profile tutu */
  __u8 profile;
  __u8 pad[5];
  char name[ICMP_NAME_SIZE]; /* zero-terminated; for people */
};

/* `replies`: the way back to `servers`, with what came that way. */
struct icmp_reply_key {
  struct icmp_address address;
  __u16 tag;
  __u8 profile;
  __u8 pad;
};
struct icmp_reply {
  struct icmp_counts counts;
  __be16 port;
  __u8 pad[6];
};

/* `users`: where this host is a server. */
struct icmp_user_key {
  __u16 tag;
  __u8 profile;
  __u8 pad;
};
enum icmp_first {
  ICMP_FIRST_WIREGUARD = 0, /* a session begins with a WireGuard handshake initiation */
  ICMP_FIRST_ANY = 1,
};
struct icmp_user {
  struct icmp_counts counts;
  struct icmp_address from; /* sessions only from this prefix */
  __u8 from_bits;           /* 0 to 128; IPv4 prefixes count from 96 */
  __u8 first;
  __be16 port;   /* the UDP port that is served */
  __u32 max_age; /* seconds without a packet from the client after which a session is over */
  char name[ICMP_NAME_SIZE];
};

/* `ports`: port / 64 -> one bit for each of 64 UDP ports. Most UDP is none of ours, and is let go after one look here. */
struct icmp_ports {
  __u64 served;  /* what leaves from there without a session is dropped */
  __u64 servers; /* some entry of `servers` has this port */
};
#define ICMP_PORT_WORDS (65536 / 64)

/* `sessions`: LRU; learned from what arrives. */
struct icmp_session_key {
  struct icmp_address address; /* of the client, as it arrived */
  __be16 identifier; /* as it arrived; the UDP port of the client, as the server sees it */
  __be16 port;       /* the UDP port that is served */
};
struct icmp_session {
  __u64 last_seen; /* CLOCK_MONOTONIC in ns, give or take a second; written at most once a second */
  struct icmp_user_key user;
  __be16 sequence; /* as it arrived; the profile tutu repeats it in its replies */
  __u8 pad[2];
};

/* `cache`: per-CPU array; whose the packets of a flow are, as it was found out not long ago: icmp_cache.h. */
#define ICMP_CACHE_BITS 10
#define ICMP_CACHE_SIZE (1 << ICMP_CACHE_BITS)
#define ICMP_CACHE_HOLDS_NS 250000000ull
enum icmp_way {
  ICMP_WAY_OUT = 1,
  ICMP_WAY_REQUEST_IN,
  ICMP_WAY_REPLY_IN,
};
struct icmp_cache_key {
  struct icmp_address address; /* of the other end */
  __be16 port;                 /* of the other end; in: the identifier */
  __u16 own;                   /* the port of this end, in network order; in: the tag */
  __u32 way;                   /* 0: nothing is cached here */
};
struct icmp_cached {
  struct icmp_cache_key key;
  __u64 generation; /* when it was found out */
  __u64 time;       /* as last_seen above */
  __u64 packets;    /* since then; they are not in the counts of the tables yet */
  __u64 bytes;
  __u16
      found; /* out: the tag; in: the UDP port of this end's user, or of the server, in network order */
  __u8 is_reply; /* out: this end is the server */
  __u8 pad;
  __u32 settled; /* how often packets and bytes went from here to the tables */
};

/* `generation`: array of one __u64, which can be mapped into memory. Whoever changes something that makes the cache wrong
 * adds 1, atomically. */

/* `wholes`: LRU; which super-packets of a flow arrive whole at its other end: icmp_whole.h. */
struct icmp_whole_key {
  struct icmp_address address; /* of the other end */
  __u32 ifindex;
  __be16 identifier;
  __u16 tag;
};
struct icmp_whole {
  /* Of those that are sent. Times are as last_seen above, sizes those of ICMP messages. */
  __u64 asked;
  __u64 answered;   /* 0: never */
  __u64 tried;      /* when one was sent that was longer than `proven` */
  __u32 proven;     /* so long ones have arrived */
  __u32 sent;       /* the longest since the last question */
  __u32 pending;    /* the longest that the last question asked about; 0 once that is answered */
  __u32 unanswered; /* questions in a row */
  __u32 refused;    /* so long a one did not arrive; 0: there was none */
  __u32 failures;   /* how often that happened, in a row */
  /* Of those that are received: */
  __u32 arrived; /* the longest since the last question */
  __u32 pad;
};
#define ICMP_WHOLE_HOLDS_NS 1000000000ull /* an answer holds as long */
/* Ethernet types: IEEE 802's local experimental ones. */
#define ICMP_WHOLE_QUESTION 0x88b5
#define ICMP_WHOLE_ANSWER 0x88b6

/* `drops`: per-CPU array of counters. Names for people are in icmp_reasons.h. */
enum icmp_reason {
  /* Out: */
  ICMP_DROP_FRAGMENT,     /* a fragment of a carried datagram */
  ICMP_DROP_NO_SESSION,   /* from a served port to somebody who has no session */
  ICMP_DROP_NO_DETOUR,    /* a super-packet, and no device that segments it */
  ICMP_DROP_MALFORMED,    /* lengths that do not agree, headers that cannot be rewritten */
  ICMP_DROP_REWRITE,      /* the kernel refused a change to the packet (also in) */
  ICMP_DROP_NOT_ATTACHED, /* through a device that carries nothing */
  /* In: a known tag, but it goes on as an ordinary ping: */
  ICMP_PASS_NOT_OPENING, /* no session, and not a first packet that opens one */
  ICMP_PASS_ADDRESS,     /* from an address that the user is not tied to */
  ICMP_PASS_FRAGMENT,    /* the first fragment of a message, which somebody on the way has cut */
  ICMP_REASON_COUNT
};

#endif
