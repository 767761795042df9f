// `warren plan`: what becomes of packets in the tunnels of a file.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

#include "cli/ask.h"
#include "cli/commands.h"
#include "config/mtu_paths.h"
#include "config/network_file.h"
#include "linux/netlink.h"
#include "tunnel/uapi_server.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;
using config::MtuPath;

struct PlanOptions {
  std::string file;
  std::string far;
  std::vector<std::string> wireguard;
  std::uint32_t wire_mtu = l3::ethernet_mtu;
  std::uint32_t packet = l3::ethernet_mtu;
  std::uint32_t ping = 2000;
  bool json = false;
};

/// Everything that is said about one path.
struct Plan {
  MtuPath path;
  std::vector<l3::Layer> layers;
  l3::Journey packet;
  l3::Journey ping;
  std::optional<l3::Journey> answer{};  ///< of the far end, if its file is known

  [[nodiscard]] std::uint32_t fits() const {
    auto fits = layers.back().mtu;
    for (const auto& layer : layers) fits = std::min(fits, layer.mtu);
    return std::min(fits, layers.back().largest_fit);
  }
  [[nodiscard]] std::vector<std::string> warnings() const {
    auto warnings = l3::warnings(path.path, layers);
    if (!path.guessed.empty())
      warnings.push_back(
          fmt::format("{0} is made by no section and not on this machine: counted as a plain wire "
                      "of {1} bytes. "
                      "If it is WireGuard's, say --wireguard {0}",
                      path.guessed, path.path.wire_mtu));
    return warnings;
  }
};

// The kernel's own WireGuard says what it is, a program's has a socket for wg(8); others are named on the
// command line.
auto look_at_devices(const PlanOptions& options) {
  return [&options](const std::string& name) -> std::optional<config::KnownDevice> {
    const bool told = std::ranges::find(options.wireguard, name) != options.wireguard.end();
    auto socket = netlink::Socket::open();
    const auto link = socket ? socket->link(name) : fail("no netlink");
    if (link)
      return config::KnownDevice{link->mtu, told || link->kind == "wireguard" ||
                                                std::filesystem::exists(tunnel::uapi_path(name))};
    if (told) return config::KnownDevice{1420, true};  // as wg-quick(8) sets it
    return std::nullopt;
  };
}

Result<std::vector<MtuPath>> read_paths(const std::string& file, const PlanOptions& options) {
  const auto spec = config::read_network_file(file);
  if (!spec) return tl::unexpected(spec.error());
  return config::mtu_paths(*spec, look_at_devices(options), options.wire_mtu);
}

// The answer to a ping comes from the far router, which knows its own MTU.
Result<std::optional<l3::Journey>> answer(const MtuPath& path, const std::vector<MtuPath>& far,
                                          std::uint32_t payload) {
  const auto other = std::ranges::find(far, path.vni, &MtuPath::vni);
  if (other == far.end()) return std::optional<l3::Journey>{};
  const auto layers = l3::plan_layers(other->path);
  if (!layers) return tl::unexpected(layers.error());
  return l3::send_ping(other->path, *layers, payload, layers->back().mtu, l3::Entry::routed);
}

Result<std::vector<Plan>> make_plans(const PlanOptions& options) {
  auto paths = read_paths(options.file, options);
  if (!paths) return tl::unexpected(paths.error());
  std::vector<MtuPath> far;
  if (!options.far.empty()) {
    auto read = read_paths(options.far, options);
    if (!read) return tl::unexpected(read.error());
    far = std::move(*read);
  }
  std::vector<Plan> plans;
  for (auto& path : *paths) {
    auto layers = l3::plan_layers(path.path);
    if (!layers) return fail_in(options.file, layers.error());
    const auto back = answer(path, far, options.ping);
    if (!back) return fail_in(options.far, back.error());
    auto packet = l3::send_packet(path.path, *layers, options.packet, path.entry());
    auto ping = l3::send_ping(path.path, *layers, options.ping, l3::ethernet_mtu, path.entry());
    plans.push_back(
        {std::move(path), std::move(*layers), std::move(packet), std::move(ping), *back});
  }
  return plans;
}

// As on the wire, each header under its size.
void print_stack(const Plan& plan) {
  std::string sizes = " ";
  std::string names = " ";
  const auto add = [&](std::string_view name, const std::string& size, bool last = false) {
    const auto width = std::max(name.size(), size.size());
    sizes += fmt::format(" {:<{}}{}", size, width, last ? "" : "  ");
    names += fmt::format(" {:<{}}{}", name, width, last ? "" : " |");
  };
  for (const auto& layer : plan.layers)
    for (const auto& header : l3::headers_before(layer.tunnel))
      add(header.name == "ip" || header.name == "ipv6"
              ? fmt::format("{}({})", header.name, layer.tunnel.name)
              : std::string(header.name),
          std::to_string(header.size));
  add("packet", fmt::format("{} at most", plan.fits()));
  const auto tags = std::ranges::count_if(plan.layers, [](const l3::Layer& layer) {
    return layer.tunnel.kind == l3::Encapsulation::wireguard;
  });
  if (tags != 0) add("tag", "16", true);
  fmt::print("{}\n{}\n\n", sizes, names);
}

void print_mtus(const Plan& plan) {
  fmt::print("  {:<15} {:>5}\n", plan.path.path.wire, plan.path.path.wire_mtu);
  auto below = plan.path.path.wire_mtu;
  for (const auto& layer : plan.layers) {
    fmt::print("  {:<15} {:>5}  {}; {} - {} = {} fit\n", layer.tunnel.name, layer.mtu,
               layer.tunnel.mtu.kind == l3::MtuChoice::Kind::fixed ? "as told"
                                                                   : layer.tunnel.mtu.to_string(),
               below, l3::overhead_of(layer.tunnel), layer.largest_fit);
    below = layer.mtu;
  }
  fmt::print("\n");
}

void print_journey(const l3::Journey& journey) {
  fmt::print("    {:<15} {}\n", "host", fmt::join(journey.from_host, " + "));
  for (const auto& step : journey.steps) {
    std::string text = fmt::format("{}", fmt::join(step.taken, " + "));
    if (step.fragmented) text += ", fragmented";
    if (step.lost) text += step.taken.empty() ? "lost" : ", and the rest is lost";
    if (step.sent != step.taken)
      text += fmt::format("; with headers {}", fmt::join(step.sent, " + "));
    fmt::print("    {:<15} {}\n", step.device, text);
  }
}

std::string on_wire(const l3::Journey& journey) {
  const auto count = journey.on_wire().size();
  return fmt::format("{} {} on the wire{}", count, count == 1 ? "packet" : "packets",
                     journey.lost() ? ", and a loss" : "");
}

void print_text(const std::vector<Plan>& plans, const PlanOptions& options) {
  for (const auto& plan : plans) {
    fmt::print("{}{}\n\n", plan.path.name,
               plan.path.bridge.empty() ? "" : ", a port of " + plan.path.bridge);
    print_stack(plan);
    print_mtus(plan);
    fmt::print("  a packet of {} bytes: {}\n", options.packet, on_wire(plan.packet));
    print_journey(plan.packet);
    fmt::print("\n  a ping of {} bytes, from a host that keeps {}: {}\n", options.ping,
               l3::ethernet_mtu, on_wire(plan.ping));
    print_journey(plan.ping);
    if (plan.answer) {
      fmt::print("\n  its answer, from the far router: {}\n", on_wire(*plan.answer));
      print_journey(*plan.answer);
    }
    for (const auto& warning : plan.warnings()) fmt::print("\n  warning: {}\n", warning);
    if (!plan.path.bridge.empty()) {
      fmt::print("\n  for the dnsmasq that serves this L2, so that hosts know:\n");
      for (const auto& line : l3::dnsmasq_lines(plan.path.bridge, plan.fits()))
        fmt::print("    {}\n", line);
    }
    fmt::print("\n");
  }
  if (plans.empty()) fmt::print("{} has no tunnel\n", options.file);
}

Json describe(const l3::Journey& journey) {
  Json steps = Json::array();
  for (const auto& step : journey.steps)
    steps.push_back({{"device", step.device},
                     {"enter", step.enter},
                     {"taken", step.taken},
                     {"sent", step.sent},
                     {"fragmented", step.fragmented},
                     {"lost", step.lost}});
  return {{"from_host", journey.from_host},
          {"steps", std::move(steps)},
          {"packets_on_wire", journey.on_wire().size()},
          {"lost", journey.lost()}};
}

Json describe(const Plan& plan) {
  Json layers = Json::array();
  layers.push_back({{"device", plan.path.path.wire}, {"mtu", plan.path.path.wire_mtu}});
  for (const auto& layer : plan.layers) {
    Json headers = Json::array();
    for (const auto& header : l3::headers_before(layer.tunnel))
      headers.push_back({{"name", header.name}, {"size", header.size}});
    layers.push_back({{"device", layer.tunnel.name},
                      {"mtu", layer.mtu},
                      {"chosen", layer.tunnel.mtu.to_string()},
                      {"largest_fit", layer.largest_fit},
                      {"overhead", l3::overhead_of(layer.tunnel)},
                      {"headers", std::move(headers)}});
  }
  Json json = {{"name", plan.path.name},          {"bridge", plan.path.bridge},
               {"layers", std::move(layers)},     {"never_fragments", plan.fits()},
               {"packet", describe(plan.packet)}, {"ping", describe(plan.ping)}};
  if (plan.answer) json["answer"] = describe(*plan.answer);
  json["warnings"] = plan.warnings();
  if (!plan.path.bridge.empty()) json["dnsmasq"] = l3::dnsmasq_lines(plan.path.bridge, plan.fits());
  return json;
}

Result<> plan(const PlanOptions& options) {
  const auto plans = make_plans(options);
  if (!plans) return tl::unexpected(plans.error());
  if (options.json) {
    Json all = Json::array();
    for (const auto& one : *plans) all.push_back(describe(one));
    fmt::print("{}\n", Json{{"paths", std::move(all)}}.dump(2));
  } else {
    print_text(*plans, options);
  }
  return {};
}

}  // namespace

void add_plan(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand(
      "plan", "Show what becomes of packets in the tunnels of a file: the MTU plan");
  auto options = std::make_shared<PlanOptions>();
  command->add_option("FILE", options->file, "a network file; see warren.toml(5)")->required();
  command->add_option("FAR", options->far,
                      "the file of the far end: shows the way of the answers too");
  command
      ->add_option("--wire-mtu", options->wire_mtu,
                   "MTU of the narrowest link between the ends (default: 1500)")
      ->check(CLI::Range(576, 65535));
  command
      ->add_option("--wireguard", options->wireguard,
                   "a device that is WireGuard's, where no section and not the kernel says so")
      ->allow_extra_args(false);
  command->add_option("--packet", options->packet, "follow a packet of this size (default: 1500)")
      ->check(CLI::Range(28, 65535));
  command->add_option("--ping", options->ping, "follow `ping -s` of this size (default: 2000)")
      ->check(CLI::Range(0, 65507));
  command->add_flag("--json", options->json, "JSON: {\"paths\":[...]}");
  command->footer(
      "Sizes are bytes of IP packets, with their headers and without Ethernet's on the wire. "
      "Changes "
      "nothing.\n"
      "\nExamples:\n"
      "  warren plan router.toml\n"
      "  warren plan router.toml home.toml --wire-mtu 1492\n"
      "  warren plan router.toml --json | jq '.paths[] | {name, never_fragments}'\n");
  command->callback([options, &chosen] { chosen = [options] { return report(plan(*options)); }; });
}

}  // namespace warren::cli
