#include "cli/bench_selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "config/suggest.h"

namespace warren::cli {

using namespace warren::bench;  // this is a part of its front

std::vector<std::string> known_scenarios(const Places& places) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(places.scenarios, error))
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

// A name of those that come with warren, or a file.
Result<Scenario> find_scenario(const std::string& name, const Places& places) {
  if (name.find('/') != std::string::npos || name.ends_with(".toml")) return load_scenario(name);
  const auto known = known_scenarios(places);
  if (std::find(known.begin(), known.end(), name) == known.end())
    return fail(fmt::format(
        "unknown scenario \"{}\"{}; `warren bench --list` shows them, and a path names a file",
        name, config::suggest(name, known)));
  return load_scenario(places.scenarios + "/" + name + ".toml");
}

Result<> add_rows(Scenario& scenario, const std::vector<std::string>& definitions, bool peer) {
  for (const auto& definition : definitions) {
    const auto equals = definition.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == definition.size())
      return fail(
          fmt::format("{} \"{}\" is not NAME=COMMAND", peer ? "--peer" : "--row", definition));
    const auto name = definition.substr(0, equals);
    if (auto done = scenario.set_row(name, definition.substr(equals + 1), peer); !done) return done;
    // Whoever names a row wants to see it, also in a quick run.
    if (!scenario.quick.rows.empty() && scenario.find_row(name) != nullptr)
      scenario.quick.rows.push_back(name);
  }
  return {};
}

Result<> keep_rows(Scenario& scenario, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const auto& row : scenario.rows) known.push_back(row.name);
  for (const auto& name : names)
    if (scenario.find_row(name) == nullptr)
      return fail(
          fmt::format("{} has no row \"{}\"{}", scenario.path, name, config::suggest(name, known)));
  std::erase_if(scenario.rows, [&](const Row& row) {
    return std::find(names.begin(), names.end(), row.name) == names.end();
  });
  return {};
}

// What a view shows is all that is measured for it, unless rows are named.
Result<> keep_view(Scenario& scenario, const std::string& name, std::vector<std::string>& only) {
  const auto* view = scenario.find_view(name);
  if (view == nullptr) {
    std::vector<std::string> known;
    for (const auto& each : scenario.views) known.push_back(each.name);
    return fail(
        fmt::format("{} has no view \"{}\"{}", scenario.path, name, config::suggest(name, known)));
  }
  if (only.empty()) only = view->rows;
  std::erase_if(scenario.workloads,
                [&](const Workload& workload) { return workload.name != view->workload; });
  return {};
}

void keep_workloads(Scenario& scenario, const std::vector<std::string>& names) {
  std::erase_if(scenario.workloads, [&](const Workload& workload) {
    return std::find(names.begin(), names.end(), workload.name) == names.end();
  });
}

void set_timing(Timing& timing, const Quick& quick, const BenchSelection& selection) {
  constexpr Timing short_runs{2, 1, 3};
  if (selection.quick) {
    timing.duration_s =
        quick.duration_s.value_or(std::min(timing.duration_s, short_runs.duration_s));
    timing.warmup_s = quick.warmup_s.value_or(std::min(timing.warmup_s, short_runs.warmup_s));
    timing.repeat = quick.repeat.value_or(std::min(timing.repeat, short_runs.repeat));
  }
  timing.duration_s = selection.duration.value_or(timing.duration_s);
  timing.warmup_s = selection.warmup.value_or(timing.warmup_s);
  timing.repeat = selection.repeat.value_or(timing.repeat);
}

}  // namespace

Result<Scenario> select_from_scenario(const std::string& name, const BenchSelection& selection,
                                      const Places& places) {
  auto scenario = find_scenario(name, places);
  if (!scenario) return scenario;
  if (auto done = add_rows(*scenario, selection.rows, false); !done)
    return tl::unexpected(done.error());
  if (auto done = add_rows(*scenario, selection.peers, true); !done)
    return tl::unexpected(done.error());
  if (!selection.relative_to.empty() && scenario->find_row(selection.relative_to) == nullptr)
    return fail(
        fmt::format("--relative-to: {} has no row \"{}\"", scenario->path, selection.relative_to));
  if (!selection.relative_to.empty()) scenario->compare_with(selection.relative_to);
  auto only = selection.only;
  if (only.empty() && selection.quick) only = scenario->quick.rows;
  if (selection.quick && selection.view.empty() && !scenario->quick.workloads.empty())
    keep_workloads(*scenario, scenario->quick.workloads);
  if (!selection.view.empty())
    if (auto done = keep_view(*scenario, selection.view, only); !done)
      return tl::unexpected(done.error());
  if (!only.empty())
    if (auto done = keep_rows(*scenario, only); !done) return tl::unexpected(done.error());
  set_timing(scenario->timing, scenario->quick, selection);
  return scenario;
}

}  // namespace warren::cli
