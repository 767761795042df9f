// `warren status`: what running instances are and what passed through them.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <array>
#include <thread>

#include "cli/ask.h"
#include "cli/commands.h"
#include "config/units.h"
#include "control/instance.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;

struct StatusOptions {
  std::string name;
  bool json = false;
  bool watch = false;
};

std::string format_bytes(double bytes) {
  constexpr std::array<std::string_view, 5> units = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < units.size(); ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

std::string format_counters(const Json& counters) {
  auto text = fmt::format("{:>12} packets  {:>9}", counters.at("packets").get<std::uint64_t>(),
                          format_bytes(counters.at("bytes").get<double>()));
  std::vector<std::string> drops;
  for (const auto& [reason, count] : counters.at("drops").items())
    drops.push_back(fmt::format("{} {}", count.get<std::uint64_t>(), reason));
  if (!drops.empty()) text += fmt::format("  dropped: {}", fmt::join(drops, ", "));
  return text;
}

// The other end of the link whose one end is `end`, in the words of the file.
std::string peer_of(const Json& status, const std::string& node, const Json& port, bool only_port) {
  const auto end =
      only_port ? node : fmt::format("{}.{}", node, port.at("name").get<std::string>());
  for (const auto& link : status.at("links")) {
    if (link.at(0) == end) return link.at(1).get<std::string>();
    if (link.at(1) == end) return link.at(0).get<std::string>();
  }
  return "nothing";
}

std::string describe(const Json& status) {
  const auto uptime = std::chrono::duration<double>(status.at("uptime_seconds").get<double>());
  auto text =
      fmt::format("{}: up {}, {}, process {}, {}\n", status.at("name").get<std::string>(),
                  config::format_duration(std::chrono::duration_cast<std::chrono::seconds>(uptime)),
                  status.at("backend").get<std::string>(), status.at("pid").get<int>(),
                  status.at("file").get<std::string>());
  for (const auto& node : status.at("nodes")) {
    const auto name = node.at("name").get<std::string>();
    std::vector<std::string> details;
    std::string peers;  // each has much to tell
    for (const auto& [key, value] : node.at("details").items()) {
      auto detail = fmt::format("{} {}", key, value.get<std::string>());
      if (key.starts_with("peer ") && node.at("kind") == "wireguard")
        peers += fmt::format("    {}\n", detail);
      else
        details.push_back(std::move(detail));
    }
    const auto& ports = node.at("ports");
    // What is the kernel's has no counters, but many things that hold.
    const bool list = ports.empty() && details.size() > 4 && peers.empty();
    text += fmt::format("  {} ({}):{}{}\n{}", name, node.at("kind").get<std::string>(),
                        list ? "\n    " : " ", fmt::join(details, list ? "\n    " : ", "), peers);
    for (const auto& port : ports) {
      const bool only = ports.size() == 1;
      text +=
          fmt::format("    {}linked to {}\n", only ? "" : port.at("name").get<std::string>() + " ",
                      peer_of(status, name, port, only));
      text += fmt::format("      received {}\n", format_counters(port.at("received")));
      text += fmt::format("      sent     {}\n", format_counters(port.at("sent")));
    }
  }
  return text;
}

Result<Json> collect(const std::vector<std::string>& names) {
  Json all = Json::array();
  for (const auto& name : names) {
    auto answer = ask(name, "status");
    if (!answer) return tl::unexpected(answer.error());
    all.push_back(std::move(answer->at("status")));
  }
  return all;
}

Result<> show(const StatusOptions& options) {
  auto names = options.name.empty() ? control::running_instances() : std::vector{options.name};
  auto all = collect(names);
  if (!all) return tl::unexpected(all.error());
  if (options.json) {
    const auto& json = options.name.empty() ? *all : all->front();
    fmt::print("{}\n", json.dump(options.watch ? -1 : 2));
    return {};
  }
  if (names.empty()) fmt::print("no instance runs (looked in {})\n", control::run_directory());
  for (const auto& status : *all) fmt::print("{}", describe(status));
  return {};
}

Result<> status(const StatusOptions& options) {
  const bool terminal = options.watch && !options.json && ::isatty(STDOUT_FILENO) != 0;
  for (;;) {
    if (terminal) fmt::print("\x1b[H\x1b[J");  // cursor home, clear the rest
    if (auto shown = show(options); !shown) return shown;
    if (std::fflush(stdout) != 0) return fail_errno("cannot write to standard output");
    if (!options.watch) return {};
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

void add_status(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("status", "Show running instances, their nodes, links and counters");
  auto options = std::make_shared<StatusOptions>();
  command->add_option("NAME", options->name, "the instance (default: all)");
  command->add_flag("--json", options->json,
                    "JSON: one object with NAME, an array of them without");
  command->add_flag("--watch", options->watch, "show it again every second");
  command->footer(
      "\"received\" is what entered a node at this port, \"sent\" what left it there. A "
      "super-packet counts once.\n"
      "\nExamples:\n"
      "  warren status\n"
      "  warren status home --watch\n"
      "  warren status home --json | jq '.nodes[] | {name, drops: .ports[0].sent.drops}'\n");
  command->callback(
      [options, &chosen] { chosen = [options] { return report(status(*options)); }; });
}

}  // namespace warren::cli
