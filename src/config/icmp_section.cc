#include <fmt/format.h>

#include "config/sections.h"

namespace warren::config {

namespace {

using carrier::ChecksumMode;
using carrier::IcmpNodeSettings;
using carrier::IcmpTarget;
using carrier::Profile;
using carrier::Tag;

Result<Tag> parse_tag(std::string_view text) {
  auto tag = Tag::parse(text);
  if (tag && tag->profile != Profile::warren)
    return fail("a user id is given as profile = \"tutu\" and uid = 7");
  return tag;
}

// `tag`, or `uid` in the profile tutu. A tag that is picked anew at each start would make tickets
// worthless, so it is not left out here.
Tag read_tag(TomlTable& section) {
  const auto profile = read_choice<Profile>(section, "profile", Profile::warren,
                                            {{"warren", Profile::warren}, {"tutu", Profile::tutu}});
  const auto uid = section.integer("uid", 0, 255);
  const auto tag = section.parse("tag", parse_tag);
  if (profile == Profile::tutu) {
    if (section.has("tag")) section.error("tag", "the profile \"tutu\" has no tags, but uid");
    if (!section.has("uid")) section.error("uid", "the profile \"tutu\" needs uid, 0 to 255");
    return {static_cast<std::uint16_t>(uid.value_or(0)), profile};
  }
  if (section.has("uid")) section.error("uid", "uid belongs to profile = \"tutu\"");
  if (!section.has("tag"))
    section.error("tag",
                  "a tag is missing, such as tag = \"3fa2\": any from 0001 to fffe that no "
                  "other user of this server has");
  return tag.value_or(Tag{});
}

std::chrono::nanoseconds read_duration(TomlTable& section, const char* key,
                                       std::chrono::seconds fallback) {
  const auto duration = section.duration(key).value_or(fallback);
  if (duration < std::chrono::seconds(1) || duration > std::chrono::hours(168))
    section.error(key, fmt::format("{} must be 1s to 168h", key));
  return duration;
}

carrier::IcmpUser read_serve(TomlTable& section, const std::string& name) {
  carrier::IcmpUser user;
  user.name = section.parse("user", carrier::parse_user).value_or(name);
  if (const auto good = carrier::parse_user(user.name); !good && !section.has("user"))
    section.error(section.position(), good.error().message + "; say user = \"...\"");
  if (!section.has("port"))
    section.error("port", "a server needs the UDP port that it serves, such as port = 51820");
  user.port = static_cast<std::uint16_t>(section.integer("port", 1, 65535).value_or(0));
  user.tag = read_tag(section);
  user.from = section.parse("from", IpPrefix::parse);
  user.any_first =
      read_choice<bool>(section, "first", false, {{"wireguard", false}, {"any", true}});
  user.max_age_seconds = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(
          read_duration(section, "max_age", std::chrono::seconds(user.max_age_seconds)))
          .count());
  return user;
}

IcmpTarget read_connect(TomlTable& section) {
  IcmpTarget target;
  target.lookup_interval = read_duration(section, "lookup", std::chrono::minutes(1));
  const bool has_server = section.has("server");
  if (section.has("ticket")) {
    if (const auto ticket = section.parse("ticket", carrier::Ticket::parse))
      target.ticket = *ticket;
  } else if (!has_server) {
    section.error("ticket",
                  "a client needs ticket = \"warren-icmp:...\", or server = \"HOST:PORT\" and tag");
  } else {
    target.ticket.tag = read_tag(section);
  }
  if (has_server)
    if (const auto server = section.parse("server", carrier::Endpoint::parse))
      target.ticket.server = *server;
  return target;
}

}  // namespace

std::vector<std::string> read_icmp_devices(TomlTable& section,
                                           carrier::IcmpDeviceOptions& options) {
  options.checksum =
      read_choice<std::optional<ChecksumMode>>(section, "checksum", std::nullopt,
                                               {{"auto", ChecksumMode::automatic},
                                                {"balance", ChecksumMode::balance},
                                                {"software", ChecksumMode::software}});
  options.xdp = read_choice<std::optional<bool>>(section, "xdp", std::nullopt,
                                                 {{"auto", true}, {"off", false}});
  return section.strings("dev");
}

IcmpNodeSettings read_icmp_section(TomlTable& section, const std::string& name) {
  IcmpNodeSettings settings;
  settings.netns = section.string("netns").value_or("");
  settings.devices = read_icmp_devices(section, settings.options);
  if (!section.has("role"))
    section.error("role",
                  "role is missing: \"serve\" takes users' UDP out of ICMP, \"connect\" carries "
                  "UDP to a server");
  if (read_choice<bool>(section, "role", false, {{"serve", true}, {"connect", false}}))
    settings.role = std::vector{read_serve(section, name)};
  else
    settings.role = read_connect(section);
  return settings;
}

}  // namespace warren::config
