#include "carrier/icmp_filter.h"

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

}  // namespace

// A raw IPv4 socket gets the IP header too; a raw IPv6 socket does not, but finds it at an offset
// that means "network header".
std::vector<sock_filter> make_icmp_filter(bool ipv6, std::uint8_t type, Tag tag) {
  std::vector<sock_filter> program;
  const auto load_header_length = [&] {  // X = where the message begins
    if (ipv6)
      program.push_back(statement(BPF_LDX | BPF_W | BPF_IMM, 0));
    else
      program.push_back(statement(BPF_LDX | BPF_B | BPF_MSH, 0));
  };
  load_header_length();
  program.push_back(statement(BPF_LD | BPF_H | BPF_IND, 0));
  const bool tutu = tag.profile == Profile::tutu;
  require(program, static_cast<std::uint32_t>(type << 8 | (tutu ? tag.value : 0)));
  if (!tutu) {
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
    require(program, tag.value);
  }
  program.push_back(statement(BPF_RET | BPF_K, 0xffffffff));
  return program;
}

}  // namespace warren::carrier
