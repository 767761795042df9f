#include "core/log.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace warren::log {

namespace {
constexpr std::array<std::string_view, 5> names = {"", "error", "warning", "info", "debug"};
constexpr std::array<int, 5> journal_priority = {0, 3, 4, 6, 7};
std::atomic<Level> threshold{Level::info};
}  // namespace

std::optional<Level> parse_level(std::string_view name) {
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i] == name) return static_cast<Level>(i);
  return std::nullopt;
}

void set_level(Level level) { threshold = level; }
bool enabled(Level level) { return level <= threshold; }

void write(Level level, std::string_view message) {
  static const bool under_systemd = std::getenv("JOURNAL_STREAM") != nullptr;
  const auto index = static_cast<std::size_t>(level);
  std::string line;
  if (under_systemd) line = fmt::format("<{}>", journal_priority[index]);
  if (level != Level::info) line += fmt::format("{}: ", names[index]);
  line += message;
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace warren::log
