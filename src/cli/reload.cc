// `warren reload`: makes a running instance match its file again.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/ask.h"
#include "cli/commands.h"

namespace warren::cli {

namespace {

Result<> reload(const std::string& name) {
  const auto instance = choose_instance(name);
  if (!instance) return tl::unexpected(instance.error());
  const auto answer = ask(*instance, "reload");
  if (!answer)
    return fail(fmt::format("{} was not reloaded, nothing has changed: {}", *instance,
                            answer.error().message));
  return {};
}

}  // namespace

void add_reload(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("reload", "Make a running instance match its file again");
  auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "the instance (default: the one that runs)");
  command->footer(
      "Links that are the same in the old and the new file lose no packet. A file with a mistake "
      "changes nothing.\n"
      "\nExamples:\n"
      "  warren up home.toml --check && warren reload home\n");
  command->callback([name, &chosen] { chosen = [name] { return report(reload(*name)); }; });
}

}  // namespace warren::cli
