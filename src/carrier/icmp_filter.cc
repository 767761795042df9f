#include "carrier/icmp_filter.h"

#include <netpacket/packet.h>

#include <algorithm>

#include "wire/icmp.h"

namespace warren::carrier {
namespace {

constexpr std::uint32_t identifier_at = 4;

// Adds A to what M[0] holds.
void accumulate(SocketFilter& program) {
  program.push_back(statement(BPF_LDX | BPF_W | BPF_MEM, 0));
  program.push_back(statement(BPF_ALU | BPF_ADD | BPF_X, 0));
  program.push_back(statement(BPF_ST, 0));
}

// Takes the packet where A is one of `values`, and goes on elsewhere. One instruction each, because a
// socket's memory for filters is small (net.core.optmem_max: 20 KiB until kernel 6.8); jumps reach 255.
void accept_any(SocketFilter& program, std::span<const std::uint32_t> values) {
  constexpr std::size_t most = 250;
  while (!values.empty()) {
    const auto some = values.first(std::min(most, values.size()));
    values = values.subspan(some.size());
    auto to_accept = static_cast<std::uint8_t>(some.size());
    for (const auto value : some) program.push_back(jump(BPF_JEQ, value, to_accept--, 0));
    program.push_back(statement(BPF_JMP | BPF_JA, 1));
    program.push_back(statement(BPF_RET | BPF_K, whole_packet));
  }
}

// A = the tag of the message that begins at X. IPv6 addresses stand at an offset that means
// "network header".
void load_tag(SocketFilter& program, bool ipv6) {
  program.push_back(statement(BPF_LD | BPF_H | BPF_IND, wire::IcmpView::checksum_at));
  program.push_back(statement(BPF_ST, 0));
  program.push_back(statement(BPF_LD | BPF_H | BPF_IND, identifier_at));
  accumulate(program);
  for (std::uint32_t at = 8; ipv6 && at < 40; at += 4) {
    program.push_back(
        statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_NET_OFF) + at));
    program.push_back(statement(BPF_ALU | BPF_MOD | BPF_K, 0xffff));
    accumulate(program);
  }
  program.push_back(statement(BPF_LD | BPF_W | BPF_MEM, 0));
  program.push_back(statement(BPF_ALU | BPF_MOD | BPF_K, 0xffff));
}

}  // namespace

SocketFilter make_icmp_filter(bool ipv6, std::uint8_t type, std::span<const Tag> tags) {
  SocketFilter program;
  // X = where the message begins: a raw IPv4 socket gets the IP header too.
  if (ipv6)
    program.push_back(statement(BPF_LDX | BPF_IMM, 0));
  else
    program.push_back(statement(BPF_LDX | BPF_B | BPF_MSH, 0));
  program.push_back(statement(BPF_LD | BPF_H | BPF_IND, 0));
  std::vector<std::uint32_t> codes;
  std::vector<std::uint32_t> values;
  for (const auto& tag : tags)
    if (tag.profile == Profile::tutu)
      codes.push_back(static_cast<std::uint32_t>(type << 8 | tag.value));
    else
      values.push_back(tag.value);
  accept_any(program, codes);
  require(program, static_cast<std::uint32_t>(type << 8));
  load_tag(program, ipv6);
  accept_any(program, values);
  program.push_back(statement(BPF_RET | BPF_K, 0));
  return program;
}

namespace {

using wire::Ipv4View;

// A = the word at `at` in the IPv4 header.
void load_word(SocketFilter& program, std::uint16_t at) {
  program.push_back(statement(BPF_LD | BPF_H | BPF_ABS, at));
}

SocketFilter joined(SocketFilter first, const SocketFilter& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

SocketFilter make_ring_filter(std::uint8_t type, std::span<const Tag> tags) {
  SocketFilter program;
  program.push_back(statement(BPF_LD | BPF_B | BPF_ABS, Ipv4View::protocol_at));
  require(program, wire::ip_protocol::icmp);
  load_word(program, Ipv4View::fragment_word_at);
  require(program, ring_fragment_word);
  load_word(program, Ipv4View::total_length_at);
  program.push_back(jump(BPF_JGT, ring_max_length, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, 0));
  program.push_back(statement(BPF_LD | BPF_W | BPF_ABS, ancillary(SKF_AD_PKTTYPE)));
  require(program, PACKET_HOST);
  return joined(std::move(program), make_icmp_filter(false, type, tags));
}

SocketFilter make_filter_beside_ring(std::uint8_t type, std::span<const Tag> tags) {
  SocketFilter program;
  program.push_back(statement(BPF_LD | BPF_W | BPF_ABS, ancillary(SKF_AD_PKTTYPE)));
  program.push_back(jump(BPF_JEQ, PACKET_HOST, 0, 5));
  load_word(program, Ipv4View::fragment_word_at);
  program.push_back(jump(BPF_JEQ, ring_fragment_word, 0, 3));
  load_word(program, Ipv4View::total_length_at);
  program.push_back(jump(BPF_JGT, ring_max_length, 1, 0));
  program.push_back(statement(BPF_RET | BPF_K, 0));
  return joined(std::move(program), make_icmp_filter(false, type, tags));
}

}  // namespace warren::carrier
