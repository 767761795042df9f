#include "bench/scenario.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "config/suggest.h"

namespace warren::bench {

bool Row::runs(const Workload& workload) const {
  return workloads.empty() ||
         std::find(workloads.begin(), workloads.end(), workload.name) != workloads.end();
}

const Row* Scenario::find_row(std::string_view row) const {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == row; });
  return found == rows.end() ? nullptr : &*found;
}

std::string Scenario::counterpart(const Row& row, const std::string& to) const {
  if (row.variant.empty() || to.empty()) return to;
  const auto same = to + "+" + row.variant;
  return find_row(same) != nullptr ? same : to;
}

void Scenario::compare_with(const std::string& row) {
  relative_to = row;
  for (auto& each : rows) each.relative_to = counterpart(each, row);
}

const View* Scenario::find_view(std::string_view view) const {
  const auto found =
      std::find_if(views.begin(), views.end(), [&](const View& v) { return v.name == view; });
  return found == views.end() ? nullptr : &*found;
}

Result<> Scenario::set_row(const std::string& row, const std::string& command, bool peer) {
  if (const auto tool = tools.find(row); tool != tools.end() && peer) {
    tool->second = command;
    return {};
  }
  if (!forwarder && peer && !tools.empty()) {
    std::vector<std::string> known;
    for (const auto& tool : tools) known.push_back(tool.first);
    return fail(fmt::format("{} uses no tool \"{}\" (but {}){}", path, row, fmt::join(known, ", "),
                            config::suggest(row, known)));
  }
  if (!forwarder)
    return fail(fmt::format("{}: a row of your own needs the section [forwarder]", path));
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == row; });
  if (found == rows.end()) {
    Row added;
    added.name = row;
    added.command = command;
    added.peer = peer;
    rows.push_back(std::move(added));
  } else if (found->command.empty()) {
    return fail(fmt::format("the row \"{}\" of {} has no command to replace; take another name",
                            row, path));
  } else {
    found->command = command;
  }
  return {};
}

Result<Scenario> load_scenario(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail_errno(fmt::format("read {}", path));
  return parse_scenario(std::string(std::istreambuf_iterator<char>(in), {}), path);
}

}  // namespace warren::bench
