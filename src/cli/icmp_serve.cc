// `warren icmp serve`: users whose UDP arrives inside ICMP.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "carrier/route_devices.h"
#include "cli/ask.h"
#include "cli/icmp.h"
#include "config/units.h"
#include "core/log.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;

struct ServeOptions {
  std::string port;
  std::vector<std::string> users;
  std::string tag;
  std::string from;
  std::string first = "wireguard";
  std::string max_age = "300s";
  std::string host;
  bool json = false;
  IcmpDeviceFlags device;
  IcmpProfileFlags profile;
};

// What every user of this command has in common.
Result<carrier::IcmpUser> read_user(const ServeOptions& options) {
  carrier::IcmpUser user;
  const auto port = carrier::parse_port(options.port);
  if (!port) return fail_in("--port", port.error());
  user.port = *port;
  if (!options.from.empty()) {
    const auto from = IpPrefix::parse(options.from);
    if (!from) return fail_in("--from", from.error());
    user.from = *from;
  }
  user.any_first = options.first == "any";
  const auto age = config::parse_duration(options.max_age);
  if (!age) return fail_in("--max-age", age.error());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*age).count();
  if (seconds < 1 || seconds > 7 * 24 * 3600)
    return fail("--max-age: it must be 1s to 168h", EINVAL);
  user.max_age_seconds = static_cast<std::uint32_t>(seconds);
  const auto tag = options.profile.tag();
  if (!tag) return tl::unexpected(tag.error());
  if (*tag && !options.tag.empty())
    return fail("--tag belongs to the profile warren; tutu has --uid", EINVAL);
  if (*tag) user.tag = **tag;
  if (!options.tag.empty()) {
    const auto given = carrier::Tag::parse(options.tag);
    if (!given) return fail_in("--tag", given.error());
    if (given->profile != carrier::Profile::warren)
      return fail("--tag: write --profile tutu --uid", EINVAL);
    user.tag = *given;
  }
  if (options.users.size() > 1 && (*tag || !options.tag.empty()))
    return fail("one tag is for one user: give --tag or --uid with one --user", EINVAL);
  return user;
}

Result<> check_names(const carrier::IcmpCarrier& carrier, const std::vector<std::string>& names) {
  const auto known = carrier.users();
  if (!known) return tl::unexpected(known.error());
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (auto good = carrier::parse_user(*name); !good) return fail_in("--user", good.error());
    if (std::find(names.begin(), name, *name) != name)
      return fail(fmt::format("--user {} is given twice", *name), EINVAL);
    if (const auto there = std::ranges::find(*known, *name, &carrier::IcmpUser::name);
        there != known->end())
      return fail(
          fmt::format(
              "{} is served already, on port {} with tag {}; `warren icmp remove {}` ends that",
              *name, there->port, there->tag.to_string(), *name),
          EEXIST);
  }
  return {};
}

// All of them, or none.
Result<std::vector<carrier::IcmpUser>> add_users(carrier::IcmpCarrier& carrier,
                                                 const carrier::IcmpUser& common,
                                                 const std::vector<std::string>& names) {
  std::vector<carrier::IcmpUser> added;
  for (const auto& name : names) {
    auto user = common;
    user.name = name;
    Result<> done;
    if (user.tag == carrier::Tag{}) {
      const auto tag = carrier.free_tag();
      if (tag)
        user.tag = *tag;
      else
        done = tl::unexpected(tag.error());
    }
    if (done) done = carrier.add_user(user);
    if (!done) {
      for (const auto& former : added)
        if (auto undone = carrier.remove_user(former); !undone)
          log::error("{}", undone.error().message);
      return tl::unexpected(done.error());
    }
    added.push_back(std::move(user));
  }
  return added;
}

Result<std::string> ticket_host(netlink::Socket& socket, const ServeOptions& options,
                                const std::string& device) {
  if (!options.host.empty()) {
    const auto endpoint = carrier::Endpoint::parse(options.host.find(':') == std::string::npos ||
                                                           options.host.starts_with('[')
                                                       ? options.host + ":1"
                                                       : "[" + options.host + "]:1");
    if (!endpoint)
      return fail(fmt::format("--host: \"{}\" is not a host name or an address", options.host),
                  EINVAL);
    return endpoint->host;
  }
  const auto address = carrier::reachable_address(socket, device);
  if (!address) return tl::unexpected(address.error());
  return address->to_string();
}

void print(const ServeOptions& options, const std::string& host,
           const std::vector<carrier::IcmpUser>& users, const std::vector<std::string>& devices) {
  Json tickets = Json::array();
  for (const auto& user : users) {
    const carrier::Ticket ticket{user.name, {host, user.port}, user.tag};
    if (!options.json) fmt::print("{}\n", ticket.to_string());
    tickets.push_back({{"user", user.name},
                       {"port", user.port},
                       {"tag", user.tag.to_string()},
                       {"ticket", ticket.to_string()}});
  }
  if (options.json) fmt::print("{}\n", Json{{"devices", devices}, {"users", tickets}}.dump(2));
}

Result<> serve(const ServeOptions& options) {
  const auto common = read_user(options);
  if (!common) return tl::unexpected(common.error());
  for (const auto& name : options.users)
    if (auto good = carrier::parse_user(name); !good) return fail_in("--user", good.error());
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  auto devices = options.device.devices;
  if (devices.empty()) {
    auto found = carrier::default_devices(*socket);
    if (!found)
      return fail(found.error().message + "; say with --dev through which interface clients come",
                  found.error().code);
    devices = std::move(*found);
  }
  const auto host = ticket_host(*socket, options, devices.front());
  if (!host) return tl::unexpected(host.error());

  auto carrier = carrier::IcmpCarrier::open();
  if (!carrier) return tl::unexpected(carrier.error());
  if (auto good = check_names(*carrier, options.users); !good) return good;
  std::vector<carrier::IcmpUser> users;
  auto done = carrier->with_devices(devices, options.device.options(), [&]() -> Result<> {
    auto added = add_users(*carrier, *common, options.users);
    if (!added) return tl::unexpected(added.error());
    users = std::move(*added);
    return {};
  });
  if (done) print(options, *host, users, devices);
  return done;
}

}  // namespace

void add_icmp_serve(CLI::App& icmp, Chosen& chosen) {
  auto* command =
      icmp.add_subcommand("serve", "Take users' UDP out of ICMP, for a port of this host");
  auto options = std::make_shared<ServeOptions>();
  command->add_option("--port", options->port, "the UDP port that is served")->required();
  command->add_option("--user", options->users, "name of a user; may be repeated")->required();
  command->add_option("--tag", options->tag,
                      "the user's tag, 0001 to fffe (default: a free one is picked)");
  command->add_option("--from", options->from,
                      "take the user only from this network, such as 203.0.113.0/24");
  command
      ->add_option(
          "--first", options->first,
          "what opens a session: wireguard (default), a WireGuard handshake; or any packet")
      ->check(CLI::IsMember({"wireguard", "any"}));
  command->add_option("--max-age", options->max_age,
                      "a session without packets ends after (default: 300s)");
  command->add_option(
      "--host", options->host,
      "how clients reach this server, for the ticket (default: the interface's address)");
  options->device.add_to(*command, "those of the default routes");
  options->profile.add_to(*command);
  command->add_flag("--json", options->json, "print JSON");
  command->footer(
      "Prints a ticket for each user, which `warren icmp connect` takes. A tag names a user and "
      "proves "
      "nothing: what runs inside, such as WireGuard, authenticates.\n"
      "The port answers nobody by plain UDP any more: what leaves from it goes to users inside "
      "ICMP, or "
      "nowhere. Pings are answered as before.\n"
      "\nExamples:\n"
      "  warren icmp serve --port 51820 --user alice\n"
      "  warren icmp serve --port 51820 --user bob --tag 0x3fa2 --from 203.0.113.0/24 --dev eth0\n"
      "  warren icmp serve --port 443 --user carol --first any --host vpn.example.org\n"
      "  warren icmp serve --port 51820 --user dave --profile tutu --uid 7\n");
  command->callback([options, &chosen] { chosen = [options] { return report(serve(*options)); }; });
}

}  // namespace warren::cli
