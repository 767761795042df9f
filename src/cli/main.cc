// `warren`: parses the command line and runs the subcommand.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

#include "cli/commands.h"
#include "core/log.h"

namespace {

using warren::cli::Exit;

// Every mistake on the command line ends with one status and the way to help.
int parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return Exit::success;
  } catch (const CLI::Success& success) {  // --help or --version
    app.exit(success);
    return -1;
  } catch (const CLI::ParseError& error) {
    std::string command = "warren";
    for (auto chosen = app.get_subcommands(); !chosen.empty();
         chosen = chosen.front()->get_subcommands())
      command += " " + chosen.front()->get_name();
    std::fprintf(stderr, "%s: %s\nTry `%s --help`.\n", command.c_str(), error.what(),
                 command.c_str());
    return Exit::usage;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Virtual links between Linux machines, and a benchmark that measures them.",
               "warren");
  app.set_version_flag("--version", "warren " WARREN_VERSION);
  app.require_subcommand(0, 1);
  app.footer(
      "Examples:\n"
      "  warren doctor            what this machine offers and lacks\n"
      "  warren up home.toml      run a network; `warren status`, `warren reload`, `warren down`\n"
      "  warren icmp connect ...  carry UDP inside ICMP; `warren icmp --help`\n"
      "  warren bench tun         measure ways of forwarding side by side\n"
      "\n`warren COMMAND --help` shows the options of a command and examples.\n");
  warren::cli::Chosen chosen;
  warren::cli::add_up(app, chosen);
  warren::cli::add_status(app, chosen);
  warren::cli::add_reload(app, chosen);
  warren::cli::add_down(app, chosen);
  warren::cli::add_doctor(app, chosen);
  warren::cli::add_bench(app, chosen);
  warren::cli::add_icmp(app, chosen);

  if (const int status = parse(app, argc, argv); status != Exit::success)
    return status < 0 ? Exit::success : status;
  if (!chosen) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return Exit::usage;
  }
  try {
    return chosen();
  } catch (const std::exception& error) {
    warren::log::error("{}", error.what());
    return Exit::failed;
  }
}
