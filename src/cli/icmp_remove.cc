// `warren icmp remove`: ends flows.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "cli/ask.h"
#include "cli/icmp.h"

namespace warren::cli {

namespace {

struct RemoveOptions {
  std::vector<std::string> flows;
  bool all = false;
};

struct Flows {
  std::vector<carrier::IcmpServer> servers;
  std::vector<carrier::IcmpUser> users;
};

Result<Flows> everything(const carrier::IcmpCarrier& carrier) {
  auto servers = carrier.servers();
  if (!servers) return tl::unexpected(servers.error());
  auto users = carrier.users();
  if (!users) return tl::unexpected(users.error());
  return Flows{std::move(*servers), std::move(*users)};
}

// What a person may call a flow: a name, HOST:PORT, a tag, a ticket or the file with it.
Result<Flows> find(const Flows& all, const std::string& text) {
  const auto ticket = carrier::read_ticket(text);
  const auto tag = carrier::Tag::parse(text);
  const bool is_tag = tag && (text.starts_with("0x") || text.starts_with("uid"));
  Flows found;
  for (const auto& server : all.servers)
    if (server.name == text || server.endpoint() == text || (is_tag && server.tag == *tag) ||
        (ticket && server.tag == ticket->tag && server.port == ticket->server.port))
      found.servers.push_back(server);
  for (const auto& user : all.users)
    if (user.name == text || (is_tag && user.tag == *tag) ||
        (ticket && user.tag == ticket->tag && user.port == ticket->server.port))
      found.users.push_back(user);
  if (found.servers.empty() && found.users.empty())
    return fail(
        fmt::format(
            "nothing is carried by the name \"{}\"; `warren icmp list` shows what is. A flow is "
            "called by a user's name, HOST:PORT of a server, a tag (0x3fa2, uid7), or a ticket or "
            "its file",
            text),
        ENOENT);
  if (!found.servers.empty() && !found.users.empty())
    return fail(
        fmt::format("\"{}\" is both the user {} of this server and the way to {}; say {} or 0x{}",
                    text, found.users.front().name, found.servers.front().endpoint(),
                    found.servers.front().endpoint(), found.users.front().tag.to_string()),
        EINVAL);
  return found;
}

Result<> remove(const RemoveOptions& options) {
  if (options.all == !options.flows.empty())
    return fail("say which flow ends, or --all; `warren icmp list` shows them", EINVAL);
  auto carrier = carrier::IcmpCarrier::find(carrier::BpfPins::Access::change);
  if (!carrier) return tl::unexpected(carrier.error());
  Flows all;
  if (*carrier) {
    auto found = everything(**carrier);
    if (!found) return tl::unexpected(found.error());
    all = std::move(*found);
  }
  Flows doomed;
  if (options.all) doomed = all;
  for (const auto& text : options.flows) {
    auto found = find(all, text);
    if (!found) return tl::unexpected(found.error());
    std::ranges::move(found->servers, std::back_inserter(doomed.servers));
    std::ranges::move(found->users, std::back_inserter(doomed.users));
  }
  if (doomed.servers.empty() && doomed.users.empty()) return {};
  if (auto done = (*carrier)->remove_servers(doomed.servers); !done) return done;
  return doomed.users.empty() ? Result<>{} : (*carrier)->remove_users(doomed.users);
}

}  // namespace

void add_icmp_remove(CLI::App& icmp, Chosen& chosen) {
  auto* command = icmp.add_subcommand("remove", "End flows: their UDP is plain again");
  auto options = std::make_shared<RemoveOptions>();
  command->add_option(
      "FLOW", options->flows,
      "a user's name, HOST:PORT of a server, a tag (0x3fa2, uid7), or a ticket or its file");
  command->add_flag("--all", options->all, "every flow");
  command->footer(
      "Interfaces stay attached for other flows; `warren icmp detach` ends that.\n"
      "\nExamples:\n"
      "  warren icmp remove alice\n"
      "  warren icmp remove 203.0.113.7:51820\n"
      "  warren icmp remove --all\n");
  command->callback(
      [options, &chosen] { chosen = [options] { return report(remove(*options)); }; });
}

}  // namespace warren::cli
