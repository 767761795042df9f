// `warren icmp list`: what is carried, through which interfaces, and how.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/ask.h"
#include "cli/icmp.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string from_of(const carrier::IcmpUser& user) {
  return user.from ? user.from->to_string() : "anywhere";
}

Json to_json(const carrier::IcmpState& state) {
  Json devices = Json::array();
  for (const auto& device : state.devices)
    devices.push_back({{"name", device.name},
                       {"ifindex", device.ifindex},
                       {"egress", device.egress},
                       {"ingress", device.ingress},
                       {"checksum", name_of(device.checksum.mode)},
                       {"checksum_reason", device.checksum.reason},
                       {"detour", device.detour},
                       {"whole_flows", device.whole_flows},
                       {"notes", device.notes}});
  Json servers = Json::array();
  for (const auto& [server, counts] : state.servers)
    servers.push_back(
        {{"server", server.endpoint()}, {"tag", server.tag.to_string()}, {"user", server.name}});
  Json users = Json::array();
  for (const auto& each : state.users)
    users.push_back({{"user", each.user.name},
                     {"port", each.user.port},
                     {"tag", each.user.tag.to_string()},
                     {"from", from_of(each.user)},
                     {"first", each.user.any_first ? "any" : "wireguard"},
                     {"max_age_seconds", each.user.max_age_seconds},
                     {"sessions", each.sessions}});
  return {{"devices", devices},
          {"servers", servers},
          {"users", users},
          {"guarded", state.guarded},
          {"guard_note", state.guard_note}};
}

void print_devices(const carrier::IcmpState& state) {
  for (const auto& device : state.devices) {
    const auto shown = [](const std::string& mechanism) {
      return mechanism.empty() ? "nothing" : mechanism;
    };
    fmt::print("interface {}\n",
               device.name.empty() ? fmt::format("{} (gone)", device.ifindex) : device.name);
    fmt::print("  out {}, in {}, detour {}\n", shown(device.egress), shown(device.ingress),
               shown(device.detour));
    if (device.whole_flows != 0)
      fmt::print("  super-packets of {} flow{} stay whole\n", device.whole_flows,
                 device.whole_flows == 1 ? "" : "s");
    fmt::print("  checksum {}: {}\n", name_of(device.checksum.mode), device.checksum.reason);
    for (const auto& note : device.notes) fmt::print("  note: {}\n", note);
  }
}

void print(const carrier::IcmpState& state) {
  print_devices(state);
  for (const auto& [server, counts] : state.servers)
    fmt::print("client of {}{}{}, tag {}\n", server.endpoint(), server.name.empty() ? "" : " as ",
               server.name, server.tag.to_string());
  for (const auto& each : state.users)
    fmt::print("server of {} on port {}, tag {}, from {}, first {}, {} session{}\n", each.user.name,
               each.user.port, each.user.tag.to_string(), from_of(each.user),
               each.user.any_first ? "any" : "wireguard", each.sessions,
               each.sessions == 1 ? "" : "s");
  if (state.guarded)
    fmt::print("guarded: through other interfaces these flows do not leave\n");
  else
    fmt::print("not guarded: {}\n", state.guard_note);
}

Result<> list(bool json) {
  const auto carrier = carrier::IcmpCarrier::find(carrier::BpfPins::Access::read);
  if (!carrier) return tl::unexpected(carrier.error());
  if (!*carrier) {
    if (json)
      fmt::print("{}\n", to_json({}).dump(2));
    else
      fmt::print("nothing is carried in this network namespace\n");
    return {};
  }
  const auto state = (*carrier)->state();
  if (!state) return tl::unexpected(state.error());
  if (json)
    fmt::print("{}\n", to_json(*state).dump(2));
  else
    print(*state);
  return {};
}

}  // namespace

void add_icmp_list(CLI::App& icmp, Chosen& chosen) {
  auto* command =
      icmp.add_subcommand("list", "Show what is carried, through which interfaces, and how");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print JSON");
  command->footer(
      "\"checksum\" says who completes checksums and why; \"detour\" is the interface that "
      "segments super-packets, where they do not arrive whole.\n"
      "\nExamples:\n"
      "  warren icmp list\n"
      "  warren icmp list --json | jq '.users[] | {user, sessions}'\n");
  command->callback([json, &chosen] { chosen = [json] { return report(list(*json)); }; });
}

}  // namespace warren::cli
