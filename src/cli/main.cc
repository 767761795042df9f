// `warren`: parses the command line and runs the subcommand.
#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "cli/commands.h"
#include "core/log.h"

namespace {

using warren::cli::Exit;

// A descriptor that is made while one of these is closed would take its place, and our messages.
void open_standard_descriptors() {
  int fd = -1;
  do fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  ::close(fd);
}

// `warren-wireguard wg0` is `warren wireguard wg0`, because wg-quick starts programs, not subcommands.
std::vector<const char*> arguments(int argc, char** argv) {
  std::vector<const char*> words(argv, argv + argc);
  if (argc > 0 && std::filesystem::path(argv[0]).filename() == "warren-wireguard")
    words.insert(words.begin() + 1, "wireguard");
  return words;
}

// Every mistake on the command line ends with one status and the way to help.
int parse(CLI::App& app, const std::vector<const char*>& words) {
  try {
    app.parse(static_cast<int>(words.size()), words.data());
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
  open_standard_descriptors();
  CLI::App app("Virtual links between Linux machines, and a benchmark that measures them.",
               "warren");
  app.set_version_flag("--version", "warren " WARREN_VERSION);
  app.require_subcommand(0, 1);
  app.footer(
      "Examples:\n"
      "  warren doctor            what this machine offers and lacks\n"
      "  warren up home.toml      run a network; `warren status`, `warren reload`, `warren down`\n"
      "  warren plan home.toml    what becomes of packets in its tunnels: MTUs and fragments\n"
      "  warren icmp connect ...  carry UDP inside ICMP; `warren icmp --help`\n"
      "  warren wireguard wg0     a WireGuard interface for wg and wg-quick\n"
      "  warren bench tun         measure ways of forwarding side by side\n"
      "\n`warren COMMAND --help` shows the options of a command and examples.\n");
  warren::cli::Chosen chosen;
  warren::cli::add_up(app, chosen);
  warren::cli::add_status(app, chosen);
  warren::cli::add_reload(app, chosen);
  warren::cli::add_down(app, chosen);
  warren::cli::add_doctor(app, chosen);
  warren::cli::add_plan(app, chosen);
  warren::cli::add_bench(app, chosen);
  warren::cli::add_bench_flood(app, chosen);
  warren::cli::add_icmp(app, chosen);
  warren::cli::add_wireguard(app, chosen);

  if (const int status = parse(app, arguments(argc, argv)); status != Exit::success)
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
