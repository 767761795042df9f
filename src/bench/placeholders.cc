#include "bench/placeholders.h"

#include <fmt/format.h>

#include <filesystem>

#include "bench/process.h"

namespace warren::bench {

namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

}  // namespace

std::string mark(const std::string& name) { return "{" + name + "}"; }

Places find_places() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto folder = program.parent_path();
  Places places;
  places.warren = program;
  const auto libexec = folder.parent_path() / "libexec" / "warren";
  places.examples = std::filesystem::is_directory(libexec, error) ? libexec : folder / "examples";
  places.scenarios = folder.parent_path() / "share" / "warren" / "scenarios";
  return places;
}

std::string with_variables(std::string text, const Row& row) {
  for (const auto& [name, value] : row.variables) replace_all(text, mark(name), value);
  replace_all(text, mark("peers"), fmt::format("{}", row.peers));
  return text;
}

Result<std::vector<std::string>> expand_command(const std::string& command,
                                                const Scenario& scenario, const Row& row,
                                                const Places& places, const Outputs& outputs) {
  auto text = with_variables(command, row);
  for (const auto& [name, tool] : scenario.tools) replace_all(text, mark(name), tool);
  auto words = split_words(text);
  if (!words) return words;
  for (auto& word : *words) {
    replace_all(word, "{warren}", places.warren);
    replace_all(word, "{examples}", places.examples);
    for (const auto& [name, output] : outputs) replace_all(word, mark(name), output);
  }
  return words;
}

std::string expand_text(std::string text, const Row& row, const Outputs& outputs) {
  text = with_variables(std::move(text), row);
  for (const auto& [name, output] : outputs) replace_all(text, mark(name), output);
  return text;
}

Result<std::vector<std::string>> forwarder_command(const Scenario& scenario, const Row& row,
                                                   const Places& places) {
  return expand_command(row.command + " " + scenario.forwarder->command, scenario, row, places);
}

}  // namespace warren::bench
