#include "config/toml_reader.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "config/suggest.h"
#include "config/units.h"

namespace warren::config {

struct TomlTable::State {
  struct Problem {
    TomlPosition position;
    std::string message;
  };
  struct Opened {
    std::string where;
    std::set<std::string, std::less<>> asked;
  };

  std::string name;
  toml::table root;
  std::vector<Problem> problems;
  std::map<const toml::table*, Opened> opened;
};

namespace {

using Table = toml::table;

TomlPosition begin_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

const Table& as_table(const void* table) { return *static_cast<const Table*>(table); }

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date and time";
    default:
      return "of no type";
  }
}

std::string wrong_type(std::string_view what, const toml::node& node, std::string_view wanted) {
  return fmt::format("{} must be {}, not {}", what, wanted, type_name(node));
}

}  // namespace

TomlPosition TomlTable::position() const { return begin_of(as_table(table_).source()); }

std::string TomlTable::place(TomlPosition position) const {
  return fmt::format("{}:{}:{}", state_->name, position.line, position.column);
}

std::string TomlTable::place(std::string_view key) const {
  const auto* node = as_table(table_).get(key);
  return place(node == nullptr ? position() : begin_of(node->source()));
}

bool TomlTable::has(std::string_view key) const { return as_table(table_).contains(key); }

std::vector<std::string> TomlTable::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : as_table(table_)) keys.emplace_back(key.str());
  return keys;
}

std::string TomlTable::beside_file(std::string_view path) const {
  return (std::filesystem::path(state_->name).parent_path() / path).string();
}

std::string TomlTable::where() const {
  return path_.empty() ? "the file" : fmt::format("[{}]", path_);
}

std::string TomlTable::child_path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void TomlTable::error(TomlPosition position, std::string message) {
  state_->problems.push_back({position, std::move(message)});
}

void TomlTable::error(std::string_view key, std::string message) {
  const auto* node = as_table(table_).get(key);
  error(node == nullptr ? position() : begin_of(node->source()), std::move(message));
}

namespace {

// The value of `key`, which now counts as known.
template <class State>
const toml::node* ask(State& state, const void* table, std::string_view key) {
  state.opened.at(&as_table(table)).asked.emplace(key);
  return as_table(table).get(key);
}

}  // namespace

std::optional<TomlString> TomlTable::located_string(std::string_view key) {
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return std::nullopt;
  if (const auto* text = node->as_string())
    return TomlString{text->get(), begin_of(node->source())};
  error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "a string"));
  return std::nullopt;
}

std::optional<TomlString> TomlTable::located_id(std::string_view key) {
  const auto* node = ask(*state_, table_, key);
  if (node != nullptr && node->is_integer())
    return TomlString{std::to_string(node->as_integer()->get()), begin_of(node->source())};
  return located_string(key);
}

std::optional<std::string> TomlTable::string(std::string_view key) {
  auto value = located_string(key);
  if (!value) return std::nullopt;
  return std::move(value->text);
}

std::optional<std::int64_t> TomlTable::integer(std::string_view key, std::int64_t min,
                                               std::int64_t max) {
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "an integer"));
  } else if (value->get() < min || value->get() > max) {
    error(key, fmt::format("{} in {} is {}; it must be from {} to {}", key, where(), value->get(),
                           min, max));
  } else {
    return value->get();
  }
  return std::nullopt;
}

std::optional<double> TomlTable::number(std::string_view key, double min, double max) {
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value) {
    error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "a number"));
  } else if (!(*value >= min && *value <= max)) {
    error(key,
          fmt::format("{} in {} is {}; it must be from {} to {}", key, where(), *value, min, max));
  } else {
    return value;
  }
  return std::nullopt;
}

std::optional<bool> TomlTable::boolean(std::string_view key) {
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "true or false"));
  return std::nullopt;
}

std::optional<std::chrono::nanoseconds> TomlTable::duration(std::string_view key) {
  return parse(key, [](std::string_view text) { return parse_duration(text); });
}

std::optional<std::uint64_t> TomlTable::rate(std::string_view key) {
  return parse(key, [](std::string_view text) { return parse_rate(text); });
}

std::optional<double> TomlTable::percent(std::string_view key) {
  return parse(key, [](std::string_view text) { return parse_percent(text); });
}

std::vector<TomlString> TomlTable::located_strings(std::string_view key) {
  std::vector<TomlString> strings;
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return strings;
  const auto* array = node->as_array();
  if (array == nullptr) {
    error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "an array of strings"));
    return strings;
  }
  for (const auto& element : *array) {
    const auto at = begin_of(element.source());
    if (const auto* text = element.as_string())
      strings.push_back({text->get(), at});
    else
      error(at,
            wrong_type(fmt::format("an element of {} in {}", key, where()), element, "a string"));
  }
  return strings;
}

std::vector<std::string> TomlTable::strings(std::string_view key) {
  std::vector<std::string> strings;
  for (auto& located : located_strings(key)) strings.push_back(std::move(located.text));
  return strings;
}

std::vector<std::vector<TomlString>> TomlTable::lists(std::string_view key) {
  std::vector<std::vector<TomlString>> lists;
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return lists;
  const auto wrong = [&](const toml::node& at) {
    error(begin_of(at.source()),
          wrong_type(fmt::format("{} in {}", key, where()), at, "an array of arrays of strings"));
  };
  if (!node->is_array()) {
    wrong(*node);
    return lists;
  }
  for (const auto& element : *node->as_array()) {
    const auto* array = element.as_array();
    if (array == nullptr) {
      wrong(element);
      continue;
    }
    auto& list = lists.emplace_back();
    for (const auto& inner : *array) {
      if (const auto* text = inner.as_string())
        list.push_back({text->get(), begin_of(inner.source())});
      else
        wrong(inner);
    }
  }
  return lists;
}

std::optional<TomlTable> TomlTable::table(std::string_view key) {
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return std::nullopt;
  const auto* found = node->as_table();
  if (found == nullptr) {
    error(key, wrong_type(fmt::format("{} in {}", key, where()), *node, "a table"));
    return std::nullopt;
  }
  TomlTable child(state_, found, child_path(key));
  state_->opened[found].where = child.where();
  return child;
}

std::vector<std::pair<std::string, TomlTable>> TomlTable::named_tables(std::string_view key) {
  std::vector<std::pair<std::string, TomlTable>> tables;
  if (auto parent = table(key)) {
    for (const auto& name : parent->keys())
      if (auto child = parent->table(name)) tables.emplace_back(name, *child);
  }
  return tables;
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) {
  std::vector<TomlTable> tables;
  const auto* node = ask(*state_, table_, key);
  if (node == nullptr) return tables;
  if (!node->is_array_of_tables()) {
    if (!node->is_array() || !node->as_array()->empty())
      error(key,
            wrong_type(fmt::format("{} in {}", key, where()), *node,
                       fmt::format("an array of tables, each written [[{}]]", child_path(key))));
    return tables;
  }
  for (const auto& element : *node->as_array()) {
    TomlTable child(state_, element.as_table(), child_path(key));
    state_->opened[element.as_table()].where = fmt::format("[[{}]]", child.path_);
    tables.push_back(std::move(child));
  }
  return tables;
}

TomlDocument::TomlDocument(std::unique_ptr<TomlTable::State> state) : state_(std::move(state)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

Result<TomlDocument> TomlDocument::read_file(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text;
  std::array<char, 65536> piece;
  while (text.size() <= max_size && in.read(piece.data(), piece.size()).gcount() > 0)
    text.append(piece.data(), static_cast<std::size_t>(in.gcount()));
  if (!in.is_open() || in.bad()) return fail_errno("cannot read " + path);
  if (text.size() > max_size)
    return fail(fmt::format("{} is larger than {} bytes", path, max_size));
  return parse(text, path);
}

Result<TomlDocument> TomlDocument::parse(std::string_view text, std::string name) {
  auto state = std::make_unique<TomlTable::State>();
  state->name = std::move(name);
  try {
    state->root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    const auto at = begin_of(error.source());
    return fail(fmt::format("{}:{}:{}: {}", state->name, at.line, at.column, error.description()));
  }
  return TomlDocument(std::move(state));
}

TomlTable TomlDocument::root() {
  state_->opened[&state_->root].where = "the file";
  return {state_.get(), &state_->root, ""};
}

Result<> TomlDocument::finish() {
  auto problems = state_->problems;
  const auto& of_file = state_->opened[&state_->root].asked;
  for (const auto& [table, opened] : state_->opened) {
    for (const auto& [key, value] : *table) {
      if (opened.asked.contains(key.str())) continue;
      const std::vector<std::string> known(opened.asked.begin(), opened.asked.end());
      const auto hint =
          of_file.contains(key.str())
              ? std::string("; it is a key of the file: write it before the first section")
              : suggest(key.str(), known);
      problems.push_back({begin_of(key.source()), fmt::format("unknown key \"{}\" in {}{}",
                                                              key.str(), opened.where, hint)});
    }
  }
  if (problems.empty()) return {};
  std::stable_sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) {
    return std::pair(a.position.line, a.position.column) <
           std::pair(b.position.line, b.position.column);
  });
  std::string message;
  for (const auto& [at, text] : problems)
    message += fmt::format("{}{}:{}:{}: {}", message.empty() ? "" : "\n", state_->name, at.line,
                           at.column, text);
  return fail(std::move(message));
}

}  // namespace warren::config
