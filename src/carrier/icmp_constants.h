/// The read-only data of the kernel programs, which is set before they are loaded.
#pragma once

#include <time.h>

#include <cstdint>

namespace warren::carrier {

template <class Skeleton>
void set_constants(Skeleton& skeleton, std::uint64_t netns_cookie) {
  constexpr std::uint64_t second = 1'000'000'000;
  skeleton.rodata->netns_cookie = netns_cookie;
  timespec tick{};  // the coarse clock is read at ticks
  if (::clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 ||
      tick.tv_nsec < 100'000)
    return;
  const auto ns = static_cast<std::uint64_t>(tick.tv_nsec);
  const auto per_second = (second + ns / 2) / ns;
  skeleton.rodata->tick_ns = ns;
  // The kernel begins to count 300 seconds before 32 bits overflow.
  skeleton.rodata->first_tick = (std::uint64_t{1} << 32) - 300 * per_second;
}

}  // namespace warren::carrier
