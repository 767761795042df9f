/// Classic BPF for sockets (Documentation/networking/filter.rst): what the programs here are made of.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include <warren/result.h>

namespace warren {

using SocketFilter = std::vector<sock_filter>;

inline constexpr std::uint32_t whole_packet = 0xffffffff;  ///< to be returned; 0 refuses it

[[nodiscard]] constexpr sock_filter statement(int code, std::uint32_t k) noexcept {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}
/// Skips `if_true` or `if_false` instructions.
[[nodiscard]] constexpr sock_filter jump(int comparison, std::uint32_t k, std::uint8_t if_true,
                                         std::uint8_t if_false) noexcept {
  return {static_cast<std::uint16_t>(BPF_JMP | BPF_K | comparison), if_true, if_false, k};
}
/// An offset at which the kernel gives something about the packet: SKF_AD_IFINDEX and others.
[[nodiscard]] constexpr std::uint32_t ancillary(int what) noexcept {
  return static_cast<std::uint32_t>(SKF_AD_OFF + what);
}
/// Goes on where A is `k`, and refuses the packet elsewhere.
inline void require(SocketFilter& program, std::uint32_t k) {
  program.push_back(jump(BPF_JEQ, k, 1, 0));
  program.push_back(statement(BPF_RET | BPF_K, 0));
}

/// Replaces the filter that the socket has. errno is set where it fails.
[[nodiscard]] bool attach(int fd, std::span<const sock_filter> program) noexcept;

}  // namespace warren
