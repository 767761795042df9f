/// Times of datagrams in nanoseconds since 1970, as probes take them and the kernel notes them.
#pragma once

#include <sys/socket.h>
#include <time.h>

#include <cstdint>
#include <cstring>

namespace warren::bench {

[[nodiscard]] inline std::int64_t nanoseconds(const timespec& time) {
  constexpr std::int64_t per_second = 1'000'000'000;
  return time.tv_sec * per_second + time.tv_nsec;
}

[[nodiscard]] inline std::int64_t now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return nanoseconds(time);
}

inline void sleep_until(std::int64_t monotonic) {
  constexpr std::int64_t per_second = 1'000'000'000;
  const timespec until{monotonic / per_second, monotonic % per_second};
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

/// When the kernel got it, of a socket with SO_TIMESTAMPNS; 0 where it does not say.
[[nodiscard]] inline std::int64_t arrival(msghdr& message) {
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec time;
    std::memcpy(&time, CMSG_DATA(part), sizeof time);
    return nanoseconds(time);
  }
  return 0;
}

}  // namespace warren::bench
