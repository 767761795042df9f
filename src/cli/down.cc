// `warren down`: takes a running instance down.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/ask.h"
#include "cli/commands.h"
#include "control/instance.h"

namespace warren::cli {

namespace {

// Returns when everything is gone, so that a script can go on.
Result<> down(const std::string& name) {
  const auto instance = choose_instance(name);
  if (!instance) return tl::unexpected(instance.error());
  const auto answer = ask(*instance, "down");
  if (!answer) return tl::unexpected(answer.error());
  if (!control::wait_until_gone(*instance, std::chrono::seconds(30)))
    return fail(fmt::format("{} was told to go down, and is still there", *instance));
  return {};
}

}  // namespace

void add_down(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("down", "Take a running instance down");
  auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "the instance (default: the one that runs)");
  command->footer("Returns when its devices are gone.\n\nExamples:\n  warren down home\n");
  command->callback([name, &chosen] { chosen = [name] { return report(down(*name)); }; });
}

}  // namespace warren::cli
