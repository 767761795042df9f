// `warren icmp relay`: the ICMP carrier without kernel programs.
#include "carrier/icmp_relay.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>

#include "carrier/route_devices.h"
#include "cli/ask.h"
#include "cli/icmp.h"
#include "cli/signals.h"
#include "config/units.h"
#include "core/log.h"
#include "linux/privileges.h"

namespace warren::cli {

namespace {

using Json = nlohmann::ordered_json;

struct RelayOptions {
  std::vector<std::string> tickets;
  std::string listen = "127.0.0.1:51820";
  bool serve = false;
  std::string port;
  std::vector<std::string> users;
  std::string tag;
  std::string to;
  std::string from;
  std::string first = "wireguard";
  std::string host;
  std::string idle = "180s";
  std::size_t conversations = 10000;
  bool no_ring = false;
  bool json = false;
  IcmpProfileFlags profile;
};

Result<SocketAddress> read_address(const std::string& option, const std::string& text) {
  const auto endpoint = carrier::Endpoint::parse(text);
  if (!endpoint) return fail_in(option, endpoint.error());
  const auto found = carrier::resolve(endpoint->host);
  if (!found) return fail_in(option, found.error());
  return SocketAddress{.ip = found->front(), .port = endpoint->port};
}

Result<carrier::IcmpRelayLimits> read_limits(const RelayOptions& options) {
  const auto idle = config::parse_duration(options.idle);
  if (!idle) return fail_in("--idle", idle.error());
  if (*idle < std::chrono::seconds(1)) return fail("--idle: it must be 1s at least", EINVAL);
  return carrier::IcmpRelayLimits{
      .conversations = options.conversations,
      .idle = std::chrono::duration_cast<std::chrono::milliseconds>(*idle),
      .ring = !options.no_ring};
}

// Options of one side that were given to the other are mistakes, and not to be passed over.
Result<> check_side(const RelayOptions& options, const CLI::App& command) {
  const auto refuse = [&](const char* option, const char* why) -> Result<> {
    if (command.count(option) == 0) return {};
    return fail(fmt::format("{} {}", option, why), EINVAL);
  };
  if (options.serve) {
    if (auto good = refuse("--listen", "is for the client's side; this is --serve"); !good)
      return good;
    for (const char* option : {"--port", "--user", "--tag", "--host", "--profile", "--uid"})
      if (!options.tickets.empty())
        if (auto good = refuse(option, "is said by the tickets"); !good) return good;
    if (options.tickets.empty() && (options.port.empty() || options.users.empty()))
      return fail("--serve needs --port and --user, or tickets", EINVAL);
    return {};
  }
  for (const char* option :
       {"--port", "--user", "--tag", "--to", "--from", "--first", "--host", "--profile", "--uid"})
    if (auto good = refuse(option, "is for the server's side: it goes with --serve"); !good)
      return good;
  if (options.tickets.size() > 1)
    return fail("one TICKET at a time: run a relay for each server", EINVAL);
  if (options.tickets.empty())
    return fail("give the TICKET that `warren icmp serve` or `relay --serve` has printed", EINVAL);
  return {};
}

Result<std::optional<carrier::Tag>> given_tag(const RelayOptions& options) {
  const auto tutu = options.profile.tag();
  if (!tutu) return tl::unexpected(tutu.error());
  if (*tutu) {
    if (!options.tag.empty())
      return fail("--tag belongs to the profile warren; tutu has --uid", EINVAL);
    return *tutu;
  }
  if (!options.tag.empty()) {
    const auto given = carrier::Tag::parse(options.tag);
    if (!given) return fail_in("--tag", given.error());
    if (given->profile == carrier::Profile::tutu)
      return fail("--tag: write --profile tutu --uid", EINVAL);
    return *given;
  }
  return std::optional<carrier::Tag>{};
}

carrier::Tag free_tag(const std::vector<carrier::Ticket>& taken) {
  std::random_device random;
  carrier::Tag tag;
  do {
    tag.value = std::uniform_int_distribution<std::uint16_t>(1, 0xfffe)(random);
  } while (std::ranges::find(taken, tag, &carrier::Ticket::tag) != taken.end());
  return tag;
}

Result<std::string> ticket_host(const RelayOptions& options) {
  if (!options.host.empty()) return options.host;
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto devices = carrier::default_devices(*socket);
  if (!devices)
    return fail(
        fmt::format("{}; say with --host how clients reach this machine", devices.error().message));
  const auto address = carrier::reachable_address(*socket, devices->front());
  if (!address) return tl::unexpected(address.error());
  return address->to_string();
}

// Of the users of --user, new ones; or those that are given.
Result<std::vector<carrier::Ticket>> read_tickets(const RelayOptions& options) {
  std::vector<carrier::Ticket> tickets;
  for (const auto& text : options.tickets) {
    auto ticket = carrier::read_ticket(text);
    if (!ticket) return tl::unexpected(ticket.error());
    tickets.push_back(std::move(*ticket));
  }
  if (!tickets.empty()) return tickets;
  const auto port = carrier::parse_port(options.port);
  if (!port) return fail_in("--port", port.error());
  const auto tag = given_tag(options);
  if (!tag) return tl::unexpected(tag.error());
  if (*tag && options.users.size() > 1)
    return fail("one tag is for one user: give --tag or --uid with one --user", EINVAL);
  for (const auto& name : options.users) {
    if (auto good = carrier::parse_user(name); !good) return fail_in("--user", good.error());
    if (std::ranges::find(tickets, name, &carrier::Ticket::user) != tickets.end())
      return fail(fmt::format("--user {} is given twice", name), EINVAL);
    tickets.push_back({name, {{}, *port}, tag->value_or(free_tag(tickets))});
  }
  const auto host = ticket_host(options);
  if (!host) return tl::unexpected(host.error());
  for (auto& ticket : tickets) ticket.server.host = *host;
  return tickets;
}

struct Relay {
  std::unique_ptr<carrier::IcmpRelay> relay;
  std::vector<carrier::Ticket> tickets;
};

Result<Relay> start_client(Loop& loop, const RelayOptions& options) {
  carrier::IcmpRelayClientConfig config;
  auto ticket = carrier::read_ticket(options.tickets.front());
  if (!ticket) return tl::unexpected(ticket.error());
  config.ticket = *ticket;
  const auto listen = read_address("--listen", options.listen);
  if (!listen) return tl::unexpected(listen.error());
  config.listen = *listen;
  const auto limits = read_limits(options);
  if (!limits) return tl::unexpected(limits.error());
  config.limits = *limits;
  auto relay = carrier::start_icmp_relay_client(loop, config);
  if (!relay) return tl::unexpected(relay.error());
  return Relay{std::move(*relay), {*ticket}};
}

Result<Relay> start_server(Loop& loop, const RelayOptions& options) {
  carrier::IcmpRelayServerConfig config;
  config.any_first = options.first == "any";
  if (!options.from.empty()) {
    const auto from = IpPrefix::parse(options.from);
    if (!from) return fail_in("--from", from.error());
    config.from = *from;
  }
  const auto limits = read_limits(options);
  if (!limits) return tl::unexpected(limits.error());
  config.limits = *limits;
  auto tickets = read_tickets(options);
  if (!tickets) return tl::unexpected(tickets.error());
  for (const auto& ticket : *tickets) {
    const auto to = read_address(
        "--to", options.to.empty() ? fmt::format("127.0.0.1:{}", ticket.server.port) : options.to);
    if (!to) return tl::unexpected(to.error());
    config.users.push_back({ticket.tag, *to});
  }
  auto relay = carrier::start_icmp_relay_server(loop, config);
  if (!relay) return tl::unexpected(relay.error());
  return Relay{std::move(*relay), std::move(*tickets)};
}

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);  // a script reads it while the relay runs
}

void print_started(const RelayOptions& options, const carrier::Ticket& ticket) {
  if (options.json)
    print_line(Json{{"side", options.serve ? "server" : "client"},
                    {"user", ticket.user},
                    {"tag", ticket.tag.to_string()},
                    {"ticket", ticket.to_string()}}
                   .dump());
  else if (options.serve)
    print_line(ticket.to_string());
}

void print_statistics(const RelayOptions& options, const carrier::IcmpRelay& relay) {
  const auto counters = carrier::list_counters(relay.counters());
  if (options.json) {
    Json out{{"conversations", relay.conversations()}};
    for (const auto& counter : counters) out[std::string(counter.name)] = counter.value;
    print_line(out.dump());
    return;
  }
  std::string line = fmt::format("conversations {}", relay.conversations());
  for (const auto& counter : counters)
    if (counter.value != 0) line += fmt::format(", {} {}", counter.name, counter.value);
  print_line(line);
}

Result<> run(const RelayOptions& options) {
  const auto signals = open_signals({SIGTERM, SIGINT, SIGUSR1});
  if (!signals) return tl::unexpected(signals.error());
  // Its packets are read in batches of their own; what is ready is all that it asks the loop.
  auto loop = Loop::create(Loop::Backend::epoll);
  if (!loop) return tl::unexpected(loop.error());
  auto started = options.serve ? start_server(**loop, options) : start_client(**loop, options);
  if (!started) return tl::unexpected(started.error());
  if (auto dropped = drop_privileges(); !dropped) return dropped;
  for (const auto& ticket : started->tickets) print_started(options, ticket);
  auto watch = (*loop)->watch(signals->get(), [&] {
    while (const int signal = next_signal(*signals)) {
      if (signal == SIGUSR1)
        print_statistics(options, *started->relay);
      else
        (*loop)->stop();
    }
  });
  if (!watch) return tl::unexpected(watch.error());
  auto done = (*loop)->run();
  print_statistics(options, *started->relay);
  return done;
}

int relay(const RelayOptions& options, const CLI::App& command) {
  const auto good = check_side(options, command);
  if (!good) {
    log::error("{}", good.error().message);
    return Exit::usage;
  }
  return report(run(options));
}

void add_client_options(CLI::App& command, RelayOptions& options) {
  command.add_option(
      "TICKET", options.tickets,
      "the server's ticket, or a file that holds it; with --serve those of its users");
  command.add_option("--listen", options.listen,
                     "where programs send their UDP to (default: 127.0.0.1:51820)");
}

void add_server_options(CLI::App& command, RelayOptions& options) {
  command.add_flag("--serve", options.serve, "be the server's side, and print tickets");
  command.add_option("--port", options.port, "the UDP port of the service, for the tickets");
  command.add_option("--user", options.users, "name of a user; may be repeated");
  command.add_option("--tag", options.tag, "the user's tag, 0001 to fffe (default: any)");
  command.add_option("--to", options.to,
                     "where the service listens (default: 127.0.0.1, and the port of the ticket)");
  command.add_option("--from", options.from,
                     "take users only from this network, such as 203.0.113.0/24");
  command
      .add_option("--first", options.first,
                  "what opens a conversation: wireguard (default), a WireGuard handshake; or any "
                  "packet")
      ->check(CLI::IsMember({"wireguard", "any"}));
  command.add_option("--host", options.host,
                     "how clients reach this machine, for the ticket (default: its address)");
  options.profile.add_to(command);
}

}  // namespace

void add_icmp_relay(CLI::App& icmp, Chosen& chosen) {
  auto* command = icmp.add_subcommand("relay", "Carry UDP inside ICMP without kernel programs");
  auto options = std::make_shared<RelayOptions>();
  add_client_options(*command, *options);
  add_server_options(*command, *options);
  command->add_option("--idle", options->idle,
                      "a conversation without packets ends after (default: 180s)");
  command
      ->add_option("--max-conversations", options->conversations,
                   "how many at a time (default: 10000)")
      ->check(CLI::Range(1, 65535));
  command->add_flag("--no-ring", options->no_ring,
                    "receive behind the firewall's input rules, which is slower");
  command->add_flag("--json", options->json, "print JSON, one object a line");
  command->footer(
      "Both sides speak with each other, and with `warren icmp connect` and `serve`. Runs until "
      "SIGTERM or SIGINT, and prints its counters then and at SIGUSR1. It needs root only to "
      "start. Pings are answered as before.\n"
      "\nExamples:\n"
      "  warren icmp relay --serve --port 51820 --user alice     # for WireGuard on this machine\n"
      "  warren icmp relay --serve alice.ticket bob.ticket       # tickets of before, each with "
      "its port\n"
      "  warren icmp relay --serve --port 443 --user bob --first any --to 192.0.2.9:443\n"
      "  warren icmp relay --listen 127.0.0.1:51820 alice.ticket # Endpoint = 127.0.0.1:51820\n");
  command->callback([options, command, &chosen] {
    chosen = [options, command] { return relay(*options, *command); };
  });
}

}  // namespace warren::cli
