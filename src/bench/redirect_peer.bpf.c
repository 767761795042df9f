// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Joins two veth pairs: what arrives on one middle end leaves at the far end of the other pair,
// without a detour through the middle's stack or a queue of the CPU.
//
//     left ══ eth0 ──── l │ middle │ r ──── eth0 ══ right
//                       └── tc ingress: bpf_redirect_peer(r) ──▶ received by right's eth0
//
// Source: bpf-helpers(7), bpf_redirect_peer (kernel 5.10).
// clang-format off: libbpf's header needs the kernel's types first.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
// clang-format on

const volatile int exit_ifindex = 0;

SEC("tc")
int redirect(struct __sk_buff* packet) { return (int)bpf_redirect_peer((unsigned)exit_ifindex, 0); }

char program_license[] SEC("license") = "Dual MIT/GPL";
