/// Quantities as people write them: "10ms", "500mbit", "0.1%".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren::config {

/// A number and one of ns, us, ms, s, min, h; never negative, at most a year.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// Bits per second: a number and one of bit, kbit, mbit, gbit, tbit (powers of 1000), in any case;
/// more than zero.
[[nodiscard]] Result<std::uint64_t> parse_rate(std::string_view text);
/// "1.5%" is 0.015; from 0% to 100%.
[[nodiscard]] Result<double> parse_percent(std::string_view text);

/// "1.5ms": three digits at most, in the unit that suits.
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace warren::config
