#include "config/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

namespace warren::config {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 6> durations = {
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}}};
constexpr std::array<Unit, 5> rates = {
    {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"tbit", 1e12}}};
constexpr std::array<Unit, 1> percents = {{{"%", 0.01}}};

// A number from 0 to `max` (in the base unit) and a unit; `expected` says what it should look like.
Result<double> parse_quantity(std::string_view text, std::span<const Unit> units, double max,
                              std::string_view expected) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  std::string unit(rest, end);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  unit.erase(0, unit.find_first_not_of(' '));
  const auto found =
      std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == unit; });
  if (status != std::errc{} || !std::isfinite(number) || found == units.end())
    return fail(fmt::format("\"{}\" is not {}", text, expected));
  if (number < 0 || number * found->factor > max)
    return fail(fmt::format("\"{}\" is out of range", text));
  return number * found->factor;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr double year = 366.0 * 24 * 3600e9;
  const auto value =
      parse_quantity(text, durations, year, "a duration, such as \"10ms\", \"1.5s\" or \"2min\"");
  if (!value) return tl::unexpected(value.error());
  return std::chrono::nanoseconds(std::llround(*value));
}

Result<std::uint64_t> parse_rate(std::string_view text) {
  const auto value =
      parse_quantity(text, rates, 1e15, "a rate, such as \"500mbit\" or \"2.5gbit\"");
  if (!value) return tl::unexpected(value.error());
  if (*value < 1)
    return fail(fmt::format("\"{}\" lets nothing pass: a rate is at least 1bit", text));
  return static_cast<std::uint64_t>(std::llround(*value));
}

Result<double> parse_percent(std::string_view text) {
  return parse_quantity(text, percents, 1.0, "a percentage, such as \"0.1%\"");
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const auto ns = static_cast<double>(duration.count());
  if (duration.count() == 0) return "0s";
  for (const auto& unit : {durations[0], durations[1], durations[2]})
    if (ns < unit.factor * 1000) return fmt::format("{:.3g}{}", ns / unit.factor, unit.name);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < 60) return fmt::format("{:.3g}s", ns / 1e9);
  if (seconds < 3600) return fmt::format("{}min {}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {}min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
}

}  // namespace warren::config
