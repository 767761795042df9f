/// Messages for the person who runs Warren, on stderr. Never called per packet.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

namespace warren::log {

enum class Level { silent, error, warning, info, debug };

/// "error", "warning", "info" or "debug".
[[nodiscard]] std::optional<Level> parse_level(std::string_view name);
void set_level(Level level);
[[nodiscard]] bool enabled(Level level);
/// Writes one line. Under systemd each line carries the priority prefix that the journal reads
/// ("<4>").
void write(Level level, std::string_view message);

template <class... Args>
void at(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::error, format, std::forward<Args>(args)...);
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::warning, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::debug, format, std::forward<Args>(args)...);
}

}  // namespace warren::log
