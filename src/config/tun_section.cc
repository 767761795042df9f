#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include "config/sections.h"

namespace warren::config {

namespace {

constexpr std::size_t max_device_name = 15;  // IFNAMSIZ without the terminating zero

Result<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || status != std::errc{} || end != text.data() + text.size())
    return fail(fmt::format("\"{}\" is not a number", text));
  return number;
}

Result<TunMode> parse_mode(std::string_view text) {
  if (text == "tun") return TunMode::tun;
  if (text == "tap") return TunMode::tap;
  return fail(fmt::format(
      "mode is \"{}\"; it must be \"tun\" (IP packets) or \"tap\" (Ethernet frames)", text));
}

Result<std::uint32_t> parse_user(std::string_view text) {
  if (auto id = parse_number(text)) return *id;
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r(std::string(text).c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return fail(fmt::format("there is no user \"{}\"", text));
  return found->pw_uid;
}

Result<std::uint32_t> parse_group(std::string_view text) {
  if (auto id = parse_number(text)) return *id;
  std::array<char, 16384> buffer;
  group entry{};
  group* found = nullptr;
  ::getgrnam_r(std::string(text).c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return fail(fmt::format("there is no group \"{}\"", text));
  return found->gr_gid;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t end = 0;;) {
    const auto begin = text.find_first_not_of(" \t", end);
    if (begin == std::string_view::npos) return words;
    end = std::min(text.find_first_of(" \t", begin), text.size());
    words.push_back(text.substr(begin, end - begin));
  }
}

template <class T>
std::optional<std::uint32_t> as_u32(const std::optional<T>& value) {
  if (!value) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

}  // namespace

Result<MacAddress> parse_device_mac(std::string_view text) {
  auto mac = MacAddress::parse(text);
  if (mac && (mac->bytes[0] & 1U) != 0)
    return fail(
        fmt::format("\"{}\" is a multicast address; a device's is unicast, such as "
                    "\"02:00:00:00:00:01\"",
                    text));
  return mac;
}

Result<Route> parse_route(std::string_view text) {
  const auto words = words_of(text);
  const auto wrong = [&](std::string_view why) {
    return fail(fmt::format(
        "\"{}\" is not a route, such as \"10.0.0.0/8 via 10.0.1.2 metric 5\": {}", text, why));
  };
  if (words.empty()) return wrong("it is empty");
  Route route;
  for (std::size_t i = 1; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return wrong(fmt::format("\"{}\" has no value", words[i]));
    if (words[i] == "via" && !route.via) {
      auto via = IpAddress::parse(words[i + 1]);
      if (!via) return wrong(via.error().message);
      route.via = *via;
    } else if (words[i] == "metric" && !route.metric) {
      auto metric = parse_number(words[i + 1]);
      if (!metric) return wrong(metric.error().message);
      route.metric = *metric;
    } else {
      return wrong(
          fmt::format("\"{}\" is neither \"via\" nor \"metric\", or comes twice", words[i]));
    }
  }
  if (words[0] == "default") {
    route.destination.address.ipv6 = route.via && route.via->ipv6;
  } else {
    auto destination = IpPrefix::parse(words[0]);
    if (!destination) return wrong(destination.error().message);
    route.destination = *destination;
  }
  if (route.via && route.via->ipv6 != route.destination.address.ipv6)
    return wrong("destination and gateway are of different families");
  return route;
}

void check_device_name(TomlTable& section, const std::string& name) {
  if (name.size() > max_device_name)
    section.error(section.position(),
                  fmt::format("\"{}\" is too long for a device: {} bytes, and {} are possible",
                              name, name.size(), max_device_name));
  const auto impossible = [](unsigned char c) {
    return c <= ' ' || c == 0x7f || c == '/' || c == ':' || c == '%';
  };
  if (std::ranges::any_of(name, impossible))
    section.error(section.position(),
                  fmt::format("\"{}\" cannot name a device: no spaces, `/`, `:` and `%`", name));
}

TunConfig read_tun_section(TomlTable& section, const std::string& name) {
  check_device_name(section, name);
  TunConfig tun;
  tun.name = name;
  tun.mode = section.parse("mode", parse_mode).value_or(TunMode::tun);
  tun.netns = section.string("netns").value_or("");
  tun.addresses =
      section.parse_each("address", [](std::string_view text) { return IpPrefix::parse(text); });
  tun.mtu = as_u32(section.integer("mtu", 68, 65535));
  tun.mac = section.parse("mac", parse_device_mac);
  tun.queues = static_cast<unsigned>(section.integer("queues", 1, 256).value_or(1));
  tun.owner = section.parse_id("owner", parse_user);
  tun.group = section.parse_id("group", parse_group);
  tun.tx_queue_length = as_u32(section.integer("tx-queue-length", 1, 1'000'000));
  tun.persist = section.boolean("persist").value_or(false);
  tun.up = section.boolean("up").value_or(true);
  tun.offload = section.boolean("offload").value_or(true);
  tun.routes = section.parse_each("routes", parse_route);
  if (tun.mac && tun.mode == TunMode::tun)
    section.error(
        "mac",
        "mac is for devices with mode = \"tap\": a TUN device carries IP packets and has none");
  if (!tun.routes.empty() && !tun.up)
    section.error("routes", "routes need the device to be up, and up is false");
  return tun;
}

}  // namespace warren::config
