/// Reads TOML with errors that help: `home.toml:12:3: unknown key "adress" in [tun.tun11]; did you
/// mean "address"?`
///
///     auto document = TomlDocument::read_file(path);          // syntax errors
///     auto table = document->root().table("tun");
///     auto mtu = table->integer("mtu", 68, 65535);            // absent or wrong: no value
///     if (auto ok = document->finish(); !ok) return …;        // every error, one line each
///
/// Getters do not fail: they note the error and return nothing, so that a person sees all mistakes
/// of a file at once. finish() reports them, and every key that no getter asked for. A TomlTable is
/// a view: the document must outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <warren/result.h>

namespace warren::config {

/// Where something stands in the file; both count from 1.
struct TomlPosition {
  unsigned line = 1;
  unsigned column = 1;
};

struct TomlString {
  std::string text;
  TomlPosition position;
};

class TomlTable {
 public:
  /// "tun.tun11"; empty for the root.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] TomlPosition position() const;
  /// "home.toml:12:3", for messages about what turns out later.
  [[nodiscard]] std::string place(TomlPosition position) const;
  /// Where the value of the key stands; where the table does, if it is absent.
  [[nodiscard]] std::string place(std::string_view key) const;
  /// Whether the key is there; does not count as reading it.
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> keys() const;
  /// A path in the file as the rest of the program sees it: relative ones are relative to the file.
  [[nodiscard]] std::string beside_file(std::string_view path) const;

  [[nodiscard]] std::optional<std::string> string(std::string_view key);
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min,
                                                    std::int64_t max);
  /// An integer or a float.
  [[nodiscard]] std::optional<double> number(std::string_view key, double min, double max);
  [[nodiscard]] std::optional<bool> boolean(std::string_view key);
  /// "10ms"; see config/units.h.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> duration(std::string_view key);
  /// "500mbit", in bits per second.
  [[nodiscard]] std::optional<std::uint64_t> rate(std::string_view key);
  /// "0.1%", as 0.001.
  [[nodiscard]] std::optional<double> percent(std::string_view key);
  /// An array of strings; absent is empty.
  [[nodiscard]] std::vector<std::string> strings(std::string_view key);
  [[nodiscard]] std::vector<TomlString> located_strings(std::string_view key);
  [[nodiscard]] std::optional<TomlString> located_string(std::string_view key);
  /// An array of arrays of strings, such as links; absent is empty.
  [[nodiscard]] std::vector<std::vector<TomlString>> lists(std::string_view key);

  /// A string that `parser` (std::string_view to Result<T>) understands.
  template <class Parse>
  auto parse(std::string_view key, Parse parser) {
    return parse_located(located_string(key), parser);
  }
  /// The same, for names that may also be numbers: an integer is handed to `parser` as text.
  template <class Parse>
  auto parse_id(std::string_view key, Parse parser) {
    return parse_located(located_id(key), parser);
  }
  /// An array of strings that `parser` understands, each.
  template <class Parse>
  auto parse_each(std::string_view key, Parse parser) {
    using Value = typename std::invoke_result_t<Parse, std::string_view>::value_type;
    std::vector<Value> values;
    for (const auto& text : located_strings(key))
      convert(text, parser, [&](Value v) { values.push_back(std::move(v)); });
    return values;
  }

  /// A table under this one: [tun], or [tun.tun11] from [tun].
  [[nodiscard]] std::optional<TomlTable> table(std::string_view key);
  /// Every table under [key], with the name that the file gave it: [tun.tun11] and [tun.tun22] for
  /// "tun".
  [[nodiscard]] std::vector<std::pair<std::string, TomlTable>> named_tables(std::string_view key);
  /// An array of tables: [[peer]].
  [[nodiscard]] std::vector<TomlTable> tables(std::string_view key);

  /// Notes an error at the key's value, or at the table where the key is absent.
  void error(std::string_view key, std::string message);
  void error(TomlPosition position, std::string message);

 private:
  friend class TomlDocument;
  struct State;
  TomlTable(State* state, const void* table, std::string path)
      : state_(state), table_(table), path_(std::move(path)) {}

  template <class Parse>
  auto parse_located(const std::optional<TomlString>& text, Parse& parser) {
    using Value = typename std::invoke_result_t<Parse, std::string_view>::value_type;
    std::optional<Value> value;
    if (text) convert(*text, parser, [&](Value v) { value = std::move(v); });
    return value;
  }
  template <class Parse, class Keep>
  void convert(const TomlString& text, Parse& parser, Keep keep) {
    auto parsed = parser(std::string_view(text.text));
    if (parsed)
      keep(std::move(*parsed));
    else
      error(text.position, parsed.error().message);
  }
  [[nodiscard]] std::optional<TomlString> located_id(std::string_view key);
  /// "[tun.tun11]", or "the file".
  [[nodiscard]] std::string where() const;
  [[nodiscard]] std::string child_path(std::string_view key) const;

  State* state_;
  const void* table_;  ///< a toml::table; the library's header stays out of ours
  std::string path_;
};

class TomlDocument {
 public:
  /// The largest file that is read: enough for the peers that a WireGuard interface can have.
  static constexpr std::size_t max_size = std::size_t{16} << 20;

  /// Errors name the file, or the first place that is not TOML.
  [[nodiscard]] static Result<TomlDocument> read_file(const std::string& path);
  /// `name` stands for the file in messages.
  [[nodiscard]] static Result<TomlDocument> parse(std::string_view text, std::string name);

  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();

  [[nodiscard]] TomlTable root();
  /// All errors that were noted and all keys that nobody read, one line each, in the order of the
  /// file.
  [[nodiscard]] Result<> finish();

 private:
  explicit TomlDocument(std::unique_ptr<TomlTable::State> state);
  std::unique_ptr<TomlTable::State> state_;
};

}  // namespace warren::config
