/// What the readers of a scenario's parts have in common.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <warren/result.h>

#include "config/suggest.h"
#include "config/toml_reader.h"

namespace warren::bench {

using Names = std::vector<std::string>;

template <class Items>
Names names_of(const Items& items) {
  Names names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

/// A parser for TomlTable::parse that takes one of `known` and calls it a `kind` in its error.
inline auto one_of(Names known, std::string_view kind) {
  return [known, kind](std::string_view text) -> Result<std::string> {
    if (std::find(known.begin(), known.end(), text) != known.end()) return std::string(text);
    return fail(fmt::format("unknown {} \"{}\"{}", kind, text, config::suggest(text, known)));
  };
}

inline Result<std::string> any_text(std::string_view text) {
  if (text.empty()) return fail("must not be empty");
  return std::string(text);
}

std::string required(config::TomlTable& table, std::string_view key, auto parse) {
  if (!table.has(key)) {
    table.error(table.position(), fmt::format("[{}] needs the key \"{}\"", table.path(), key));
    return {};
  }
  return table.parse(key, parse).value_or("");
}

}  // namespace warren::bench
