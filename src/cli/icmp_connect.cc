// `warren icmp connect`: UDP to a server leaves inside ICMP.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "carrier/route_devices.h"
#include "cli/ask.h"
#include "cli/icmp.h"
#include "core/log.h"

namespace warren::cli {

namespace {

struct ConnectOptions {
  std::string ticket;
  std::string server;
  IcmpDeviceFlags device;
  IcmpProfileFlags profile;
};

Result<carrier::Ticket> read_target(const ConnectOptions& options) {
  const auto tag = options.profile.tag();
  if (!tag) return tl::unexpected(tag.error());
  carrier::Ticket ticket;
  if (*tag) {
    auto server = carrier::Endpoint::parse(options.ticket);
    if (!server)
      return fail(server.error().message + "; with --profile tutu, say HOST:PORT", EINVAL);
    ticket.server = std::move(*server);
    ticket.tag = **tag;
  } else {
    auto read = carrier::read_ticket(options.ticket);
    if (!read) return read;
    ticket = std::move(*read);
  }
  if (!options.server.empty()) {
    auto server = carrier::Endpoint::parse(options.server);
    if (!server) return fail_in("--server", server.error());
    ticket.server = std::move(*server);
  }
  return ticket;
}

// All addresses of the host: the program that sends may pick any of them.
Result<> add_servers(carrier::IcmpCarrier& carrier, const carrier::Ticket& ticket,
                     const std::vector<IpAddress>& addresses) {
  const auto before = carrier.servers();
  if (!before) return tl::unexpected(before.error());
  std::vector<carrier::IcmpServer> added;
  for (const auto& address : addresses) {
    const carrier::IcmpServer server{address, ticket.server.port, ticket.tag, ticket.user};
    const bool known = std::ranges::any_of(*before, [&](const auto& other) {
      return other.address == server.address && other.port == server.port;
    });
    auto done = carrier.add_server(server);
    if (done && !known) added.push_back(server);
    if (done) continue;
    for (const auto& former : added)
      if (auto undone = carrier.remove_server(former); !undone)
        log::error("{}", undone.error().message);
    return done;
  }
  return {};
}

Result<> connect(const ConnectOptions& options) {
  const auto ticket = read_target(options);
  if (!ticket) return tl::unexpected(ticket.error());
  const auto addresses = carrier::resolve(ticket->server.host);
  if (!addresses) return tl::unexpected(addresses.error());
  auto devices = options.device.devices;
  if (devices.empty()) {
    auto socket = netlink::Socket::open();
    if (!socket) return tl::unexpected(socket.error());
    auto found = carrier::devices_towards(*socket, *addresses);
    if (!found && found.error().code == EINVAL) return tl::unexpected(found.error());  // ourselves
    if (!found)
      return fail(found.error().message + "; say with --dev which interface leads there",
                  found.error().code);
    devices = std::move(*found);
  }
  auto carrier = carrier::IcmpCarrier::open();
  if (!carrier) return tl::unexpected(carrier.error());
  auto done = carrier->with_devices(devices, options.device.options(),
                                    [&] { return add_servers(*carrier, *ticket, *addresses); });
  if (done)
    log::info("UDP to {} leaves as ICMP, through {}", ticket->server.to_string(),
              fmt::join(devices, ", "));
  return done;
}

}  // namespace

void add_icmp_connect(CLI::App& icmp, Chosen& chosen) {
  auto* command = icmp.add_subcommand("connect", "Carry UDP to a server inside ICMP");
  auto options = std::make_shared<ConnectOptions>();
  command
      ->add_option(
          "TICKET", options->ticket,
          "a ticket from `warren icmp serve`, or a file with one; with --profile tutu: HOST:PORT")
      ->required();
  command->add_option("--server", options->server, "HOST:PORT in place of the ticket's");
  options->device.add_to(*command, "that of the route to the server");
  options->profile.add_to(*command);
  command->footer(
      "From then on UDP to the server's port never leaves in plain, until `warren icmp remove`; "
      "programs "
      "send as before, and their MTU stays. Where the host has several addresses, all are "
      "carried.\n"
      "\nExamples:\n"
      "  warren icmp connect warren-icmp:alice@203.0.113.7:51820/3fa2\n"
      "  warren icmp connect /etc/warren/alice.ticket --dev eth0\n"
      "  warren icmp connect alice.ticket --server vpn.example.org:51820\n"
      "  warren icmp connect 203.0.113.7:51820 --profile tutu --uid 7\n");
  command->callback(
      [options, &chosen] { chosen = [options] { return report(connect(*options)); }; });
}

}  // namespace warren::cli
