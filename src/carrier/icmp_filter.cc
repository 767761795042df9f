#include "carrier/icmp_filter.h"

#include <netpacket/packet.h>

#include <algorithm>

#include "wire/icmp.h"

namespace warren::carrier {
namespace {

constexpr std::uint32_t identifier_at = 4;

sock_filter statement(int code, std::uint32_t k) {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}

// Goes on where A is `k`, and refuses the packet elsewhere.
void require(std::vector<sock_filter>& program, std::uint32_t k) {
  program.push_back({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, k});
  program.push_back(statement(BPF_RET | BPF_K, 0));
}

// Adds A to what M[0] holds.
void accumulate(std::vector<sock_filter>& program) {
  program.push_back(statement(BPF_LDX | BPF_W | BPF_MEM, 0));
  program.push_back(statement(BPF_ALU | BPF_ADD | BPF_X, 0));
  program.push_back(statement(BPF_ST, 0));
}

// Takes the packet where A is one of `values`, and goes on elsewhere. One instruction each, because a
// socket's memory for filters is small (net.core.optmem_max: 20 KiB until kernel 6.8); jumps reach 255.
void accept_any(std::vector<sock_filter>& program, std::span<const std::uint32_t> values) {
  constexpr std::size_t most = 250;
  while (!values.empty()) {
    const auto some = values.first(std::min(most, values.size()));
    values = values.subspan(some.size());
    auto to_accept = static_cast<std::uint8_t>(some.size());
    for (const auto value : some)
      program.push_back({BPF_JMP | BPF_JEQ | BPF_K, to_accept--, 0, value});
    program.push_back(statement(BPF_JMP | BPF_JA, 1));
    program.push_back(statement(BPF_RET | BPF_K, 0xffffffff));
  }
}

// A = the tag of the message that begins at X. IPv6 addresses stand at an offset that means
// "network header".
void load_tag(std::vector<sock_filter>& program, bool ipv6) {
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

std::vector<sock_filter> make_icmp_filter(bool ipv6, std::uint8_t type, std::span<const Tag> tags) {
  std::vector<sock_filter> program;
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
void load_word(std::vector<sock_filter>& program, std::uint16_t at) {
  program.push_back(statement(BPF_LD | BPF_H | BPF_ABS, at));
}

std::vector<sock_filter> joined(std::vector<sock_filter> first,
                                const std::vector<sock_filter>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

std::vector<sock_filter> make_ring_filter(std::uint8_t type, std::span<const Tag> tags) {
  std::vector<sock_filter> program;
  program.push_back(statement(BPF_LD | BPF_B | BPF_ABS, Ipv4View::protocol_at));
  require(program, wire::ip_protocol::icmp);
  load_word(program, Ipv4View::fragment_word_at);
  require(program, ring_fragment_word);
  load_word(program, Ipv4View::total_length_at);
  program.push_back({BPF_JMP | BPF_JGT | BPF_K, 0, 1, ring_max_length});
  program.push_back(statement(BPF_RET | BPF_K, 0));
  program.push_back(
      statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE)));
  require(program, PACKET_HOST);
  return joined(std::move(program), make_icmp_filter(false, type, tags));
}

std::vector<sock_filter> make_filter_beside_ring(std::uint8_t type, std::span<const Tag> tags) {
  std::vector<sock_filter> program;
  load_word(program, Ipv4View::fragment_word_at);
  program.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ring_fragment_word});
  load_word(program, Ipv4View::total_length_at);
  program.push_back({BPF_JMP | BPF_JGT | BPF_K, 1, 0, ring_max_length});
  program.push_back(statement(BPF_RET | BPF_K, 0));
  return joined(std::move(program), make_icmp_filter(false, type, tags));
}

}  // namespace warren::carrier
