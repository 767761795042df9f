// `warren down`: takes a running instance down.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>

#include "cli/ask.h"
#include "cli/commands.h"
#include "control/instance.h"
#include "net/journal.h"

namespace warren::cli {

namespace {

// What a killed instance left in the kernel is taken back as well. Flows inside ICMP stay carried, so that
// none of them leaves in plain: nothing says which of them were the instance's.
Result<bool> clean_up(const std::string& name) {
  const auto journal = control::journal_path(name);
  if (name.empty() || !(control::was_killed(name) || std::filesystem::exists(journal)))
    return false;
  auto instance = control::Instance::claim(name, std::chrono::seconds(5));
  if (!instance) return false;  // it runs
  const auto left = net::Journal::left_behind(journal);
  if (!left) return tl::unexpected(left.error());
  if (*left == 0) return instance->replaced_killed();
  if (auto done = net::journal().open(name, journal); !done) return tl::unexpected(done.error());
  return true;
}

// Returns when everything is gone, so that a script can go on.
Result<> down(const std::string& name) {
  const auto cleaned = clean_up(name);
  if (!cleaned) return tl::unexpected(cleaned.error());
  if (*cleaned) return {};
  const auto instance = choose_instance(name);
  if (!instance) return tl::unexpected(instance.error());
  const auto answer = ask(*instance, "down");
  if (!answer) {
    // It may have been killed while we asked.
    const auto now = clean_up(name);
    return now && *now ? Result<>{} : tl::unexpected(answer.error());
  }
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
