// Which flows an IcmpCarrier carries: towards servers, and of users that it serves.
#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <set>

#include "carrier/icmp_carrier.h"
#include "carrier/icmp_convert.h"
#include "core/log.h"

namespace warren::carrier {

namespace {

tl::unexpected<Error> full(const char* what, std::uint32_t capacity, const Error& error) {
  if (error.code != E2BIG) return tl::unexpected(error);
  return fail(fmt::format("the table of {} is full ({}); remove some with `warren icmp remove`",
                          what, capacity),
              E2BIG);
}

}  // namespace

std::string IcmpServer::endpoint() const { return Endpoint{address.to_string(), port}.to_string(); }

Result<> IcmpCarrier::add_server(const IcmpServer& server) {
  if (const auto there = maps_.servers.find(key_of(server))) {
    const auto known = from_map(key_of(server), *there);
    if (known.tag == server.tag) return {};
    return fail(
        fmt::format("carry UDP to {}: it is carried already, with tag {}; `warren icmp remove "
                    "{}` ends that",
                    server.endpoint(), known.tag.to_string(), server.endpoint()),
        EEXIST);
  }
  return set_server(server);
}

Result<> IcmpCarrier::set_server(const IcmpServer& server) {
  const auto context = fmt::format("carry UDP to {}", server.endpoint());
  const auto there = maps_.servers.find(key_of(server));
  const auto reply = maps_.replies.find(reply_key_of(server));
  if (reply && reply->port != htons(server.port))
    return fail(
        fmt::format("{}: tag {} of this server is in use for port {}; one tag is for one port. "
                    "Ask the server for another ticket",
                    context, server.tag.to_string(), ntohs(reply->port)),
        EEXIST);
  if (auto done = mark_port(server.port, &icmp_ports::servers, true); !done)
    return fail_in(context, done.error());
  const auto generation = maps_.cache.generation();
  if (!generation) return fail_in(context, generation.error());
  auto way_back = reply.value_or(icmp_reply{});
  if (!reply) way_back.counts.since = *generation;
  way_back.port = htons(server.port);
  if (auto done = maps_.replies.put(reply_key_of(server), way_back); !done)
    return fail_in(context, full("servers", maps_.replies.capacity(), done.error()).value());
  auto value = there.value_or(icmp_server{});
  if (!there) value.counts.since = *generation;
  value.tag = server.tag.value;
  value.profile = to_map(server.tag.profile);
  put_name(value.name, server.name);
  if (auto done = maps_.servers.put(key_of(server), value); !done) {
    if (!reply)
      if (auto undone = maps_.replies.erase(reply_key_of(server)); !undone)
        log::error("{}", undone.error().message);
    return fail_in(context, full("servers", maps_.servers.capacity(), done.error()).value());
  }
  if (there)
    if (const auto former = from_map(key_of(server), *there); former.tag != server.tag)
      return maps_.replies.erase(reply_key_of(former));
  return {};
}

Result<> IcmpCarrier::remove_server(const IcmpServer& server) { return remove_servers({server}); }

Result<> IcmpCarrier::remove_servers(const std::vector<IcmpServer>& servers) {
  std::set<std::uint16_t> unused;
  for (const auto& server : servers) {
    auto done = maps_.servers.erase(key_of(server));
    if (done) done = maps_.replies.erase(reply_key_of(server));
    if (!done) return fail_in(fmt::format("remove {}", server.endpoint()), done.error());
    unused.insert(server.port);
  }
  const auto left = this->servers();
  if (!left) return tl::unexpected(left.error());
  for (const auto& server : *left) unused.erase(server.port);
  for (const auto port : unused)
    if (auto done = mark_port(port, &icmp_ports::servers, false); !done) return done;
  return {};
}

Result<> IcmpCarrier::add_user(const IcmpUser& user) {
  const auto context = fmt::format("serve {}", user.name);
  if (const auto there = maps_.users.find(key_of(user.tag)))
    return fail(fmt::format("{}: tag {} is taken, by {}; leave --tag out, and a free one is picked",
                            context, user.tag.to_string(), get_name(there->name)),
                EEXIST);
  const auto generation = maps_.cache.generation();
  if (!generation) return fail_in(context, generation.error());
  auto value = to_map(user);
  value.counts.since = *generation;
  // The port is closed before a session can begin.
  if (auto done = mark_port(user.port, &icmp_ports::served, true); !done)
    return fail_in(context, done.error());
  auto done = maps_.users.put(key_of(user.tag), value);
  if (done) return done;
  if (auto undone = unmark_unserved({user.port}); !undone) log::error("{}", undone.error().message);
  return fail_in(context, full("users", maps_.users.capacity(), done.error()).value());
}

Result<> IcmpCarrier::set_user(const IcmpUser& user) {
  const auto there = maps_.users.find(key_of(user.tag));
  if (there && get_name(there->name) == user.name) {
    auto value = to_map(user);
    value.counts = there->counts;
    auto done = mark_port(user.port, &icmp_ports::served, true);
    if (done) done = maps_.users.put(key_of(user.tag), value);
    if (done) done = unmark_unserved({ntohs(there->port)});
    if (!done) return fail_in(fmt::format("serve {}", user.name), done.error());
  } else if (auto done = add_user(user); !done) {
    return done;
  }
  const auto all = users();
  if (!all) return tl::unexpected(all.error());
  for (const auto& former : *all)
    if (former.name == user.name && former.tag != user.tag)
      if (auto done = remove_user(former); !done) return done;
  return {};
}

Result<> IcmpCarrier::remove_user(const IcmpUser& user) { return remove_users({user}); }

Result<> IcmpCarrier::remove_users(const std::vector<IcmpUser>& users) {
  std::set<std::pair<std::uint16_t, std::uint8_t>> gone;
  std::set<std::uint16_t> ports;
  for (const auto& user : users) {
    const auto key = key_of(user.tag);
    if (auto done = maps_.users.erase(key); !done)
      return fail_in(fmt::format("remove {}", user.name), done.error());
    ports.insert(user.port);
    gone.emplace(key.tag, key.profile);
  }
  if (auto done = unmark_unserved(ports); !done) return fail_in("open a port", done.error());
  // Whoever gets the tag next begins without sessions.
  const auto sessions = maps_.sessions.all();
  if (!sessions) return fail_in("remove sessions", sessions.error());
  for (const auto& [key, session] : *sessions)
    if (gone.contains({session.user.tag, session.user.profile}))
      if (auto done = maps_.sessions.erase(key); !done) return done;
  return {};
}

Result<> IcmpCarrier::mark_port(std::uint16_t port, __u64 icmp_ports::* bits, bool set) {
  const std::uint32_t word = port / 64U;
  auto value = maps_.ports.find(word).value_or(icmp_ports{});
  const __u64 bit = __u64{1} << port % 64U;
  value.*bits = set ? value.*bits | bit : value.*bits & ~bit;
  return maps_.ports.put(word, value);
}

Result<> IcmpCarrier::unmark_unserved(const std::set<std::uint16_t>& ports) {
  const auto left = users();
  if (!left) return tl::unexpected(left.error());
  auto unserved = ports;
  for (const auto& user : *left) unserved.erase(user.port);
  for (const auto port : unserved)
    if (auto done = mark_port(port, &icmp_ports::served, false); !done) return done;
  return {};
}

Result<std::vector<IcmpServer>> IcmpCarrier::servers() const {
  const auto all = maps_.servers.all();
  if (!all) return tl::unexpected(all.error());
  std::vector<IcmpServer> servers;
  for (const auto& [key, value] : *all) servers.push_back(from_map(key, value));
  std::ranges::sort(servers, {}, [](const IcmpServer& server) {
    return std::tuple(server.name, server.endpoint());
  });
  return servers;
}

Result<std::vector<IcmpUser>> IcmpCarrier::users() const {
  const auto all = maps_.users.all();
  if (!all) return tl::unexpected(all.error());
  std::vector<IcmpUser> users;
  for (const auto& [key, value] : *all) users.push_back(from_map(key, value));
  std::ranges::sort(users, {}, &IcmpUser::name);
  return users;
}

Result<Tag> IcmpCarrier::free_tag() const {
  const auto taken = [&](std::uint16_t value) {
    return value == 0 || value == 0xffff || maps_.users.find(key_of(Tag{value})).has_value();
  };
  std::uint16_t value = 0;
  if (::getrandom(&value, sizeof value, 0) != sizeof value) return fail_errno("pick a tag");
  for (int tries = 0; tries < 65536; ++tries, ++value)
    if (!taken(value)) return Tag{value};
  return fail(
      "every tag is taken: a server has at most 65534 users; remove some with "
      "`warren icmp remove`",
      ENOSPC);
}

}  // namespace warren::carrier
