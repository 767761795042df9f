// `warren doctor`: what this machine offers and lacks.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "cli/commands.h"
#include "cli/doctor_probes.h"

namespace warren::cli {

namespace {

std::string_view state_name(State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::missing:
      return "missing";
    case State::restricted:
      return "restricted";
    case State::off:
      return "off";
  }
  return "unknown";
}

void print_json(const std::vector<Check>& checks, bool ready) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& check : checks)
    list.push_back({{"group", check.group},
                    {"name", check.name},
                    {"state", state_name(check.state)},
                    {"detail", check.detail},
                    {"why", check.why},
                    {"fix", check.fix},
                    {"required", check.required}});
  const nlohmann::ordered_json all = {{"ready", ready}, {"checks", std::move(list)}};
  fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_text(const std::vector<Check>& checks, bool ready) {
  std::string_view group;
  for (const auto& check : checks) {
    if (check.group != group) fmt::print("{}{}\n", group.empty() ? "" : "\n", check.group);
    group = check.group;
    fmt::print("  {:<10}  {}{}{}\n", state_name(check.state), check.name,
               check.detail.empty() ? "" : ": ", check.detail);
    if (check.state == State::ok) continue;
    fmt::print("              for: {}\n", check.why);
    if (!check.fix.empty()) fmt::print("              do:  {}\n", check.fix);
  }
  const auto lacking =
      std::ranges::count_if(checks, [](const Check& check) { return check.state != State::ok; });
  fmt::print("\n{}: {} of {} things are there\n",
             ready ? "`warren up` can run here" : "`warren up` cannot run here",
             checks.size() - static_cast<std::size_t>(lacking), checks.size());
}

int doctor(bool json) {
  auto checks = probe_machine();
  const auto options = probe_kernel_options();
  checks.insert(checks.end(), options.begin(), options.end());
  const bool ready = std::ranges::all_of(
      checks, [](const Check& check) { return !check.required || check.state == State::ok; });
  if (json)
    print_json(checks, ready);
  else
    print_text(checks, ready);
  return ready ? Exit::success : Exit::failed;
}

}  // namespace

void add_doctor(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("doctor", "Say what this machine offers and lacks");
  auto json = std::make_shared<bool>(false);
  auto file = std::make_shared<std::string>();
  command->add_option("FILE", *file,
                      "a network file: say what hurts in that network, on this machine");
  command->add_flag("--json", *json,
                    "JSON: {\"ready\":…,\"checks\":[…]}, with FILE {\"ok\":…,\"findings\":[…]}");
  command->footer(
      "Changes nothing: what has to be tried is tried in namespaces of its own. Ends with status 1 "
      "where `warren up` "
      "cannot work.\n"
      "\nExamples:\n"
      "  warren doctor\n"
      "  warren doctor router.toml\n"
      "  warren doctor --json | jq -r '.checks[] | select(.state != \"ok\") | .name + \": \" + "
      ".fix'\n");
  command->callback([json, file, &chosen] {
    chosen = [json, file] { return file->empty() ? doctor(*json) : examine_network(*file, *json); };
  });
}

}  // namespace warren::cli
