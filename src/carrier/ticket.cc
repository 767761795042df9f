#include "carrier/ticket.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>

#include <warren/address.h>

namespace warren::carrier {

namespace {

constexpr std::string_view scheme = "warren-icmp:";
constexpr std::size_t max_user = 31;   // ICMP_NAME_SIZE without the terminating zero
constexpr std::size_t max_host = 253;  // of a name in the DNS
constexpr std::size_t max_ticket = 512;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_word(std::string_view text) {
  return !text.empty() && is_alphanumeric(text.front()) && std::ranges::all_of(text, [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
  });
}

template <class T>
bool parse_number(std::string_view digits, T& value, int base) {
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return error == std::errc{} && end == digits.data() + digits.size() && !digits.empty();
}

/// What is shown of a text that may be long or contain anything.
std::string quoted(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 80)) shown += c >= ' ' && c < 0x7f ? c : '?';
  return fmt::format("\"{}{}\"", shown, text.size() > 80 ? "..." : "");
}

Result<std::string> parse_host(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) {
    const auto address = IpAddress::parse(text.substr(1, text.size() - 2));
    if (!address || !address->ipv6)
      return fail(fmt::format("{} is not an IPv6 address in brackets", quoted(text)), EINVAL);
    return address->to_string();
  }
  if (text.find(':') != std::string_view::npos)
    return fail(fmt::format("{}: an IPv6 address stands in brackets, as in [2001:db8::7]:51820",
                            quoted(text)),
                EINVAL);
  if (text.size() > max_host || !is_word(text))
    return fail(fmt::format("{} is not a host name or an address", quoted(text)), EINVAL);
  // 300.1.1.1 would be looked up as a name.
  const bool numeric =
      std::ranges::all_of(text, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  if (numeric && !IpAddress::parse(text))
    return fail(fmt::format("{} is not an IPv4 address", quoted(text)), EINVAL);
  return std::string(text);
}

}  // namespace

Result<std::string> parse_user(std::string_view text) {
  if (!is_word(text) || text.size() > max_user)
    return fail(
        fmt::format("{} cannot name a user: a name is 1 to {} letters and digits, and . _ - "
                    "after the first",
                    quoted(text), max_user),
        EINVAL);
  return std::string(text);
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  if (!parse_number(text, port, 10) || port == 0)
    return fail(fmt::format("port {} is not a number from 1 to 65535", quoted(text)), EINVAL);
  return port;
}

Result<Tag> Tag::parse(std::string_view text) {
  Tag tag;
  if (text.starts_with("uid")) {
    tag.profile = Profile::tutu;
    if (!parse_number(text.substr(3), tag.value, 10) || tag.value > 255)
      return fail(fmt::format("{} is not a user id: uid0 to uid255", quoted(text)), EINVAL);
    return tag;
  }
  const auto digits = text.starts_with("0x") || text.starts_with("0X") ? text.substr(2) : text;
  if (digits.size() > 4 || !parse_number(digits, tag.value, 16))
    return fail(
        fmt::format("{} is not a tag: one to four hexadecimal digits, as in 3fa2", quoted(text)),
        EINVAL);
  if (tag.value == 0 || tag.value == 0xffff)
    return fail(fmt::format("tag {:04x} is not usable: the two zeros of checksums cannot be told "
                            "apart; take one from 0001 to fffe",
                            tag.value),
                EINVAL);
  return tag;
}

std::string Tag::to_string() const {
  return profile == Profile::tutu ? fmt::format("uid{}", value) : fmt::format("{:04x}", value);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']'))
    return fail(
        fmt::format("{} has no port: write HOST:PORT, as in vpn.example.org:51820", quoted(text)),
        EINVAL);
  auto host = parse_host(text.substr(0, colon));
  if (!host) return tl::unexpected(host.error());
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return fail_in(quoted(text), port.error());
  return Endpoint{std::move(*host), *port};
}

std::string Endpoint::to_string() const {
  const bool brackets = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

Result<Ticket> Ticket::parse(std::string_view text) {
  const auto wrong = [&](const Error& error) {
    return fail(fmt::format("{} is not a ticket, such as {}alice@203.0.113.7:51820/3fa2: {}",
                            quoted(text), scheme, error.message),
                EINVAL);
  };
  if (!text.starts_with(scheme)) return wrong({fmt::format("it does not begin with {}", scheme)});
  if (text.size() > max_ticket) return wrong({"it is too long"});
  auto rest = text.substr(scheme.size());
  Ticket ticket;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    auto user = parse_user(rest.substr(0, at));
    if (!user) return wrong(user.error());
    ticket.user = std::move(*user);
    rest.remove_prefix(at + 1);
  }
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos) return wrong({"it has no tag behind a slash"});
  auto server = Endpoint::parse(rest.substr(0, slash));
  if (!server) return wrong(server.error());
  ticket.server = std::move(*server);
  const auto tag = Tag::parse(rest.substr(slash + 1));
  if (!tag) return wrong(tag.error());
  ticket.tag = *tag;
  return ticket;
}

std::string Ticket::to_string() const {
  return fmt::format("{}{}{}{}/{}", scheme, user, user.empty() ? "" : "@", server.to_string(),
                     tag.to_string());
}

Result<Ticket> read_ticket(const std::string& text) {
  if (text.starts_with(scheme)) return Ticket::parse(text);
  std::ifstream file(text);
  if (!file) {
    const auto why = fmt::format("it does not begin with {}, and the file cannot be read ({})",
                                 scheme, std::strerror(errno));
    return fail(fmt::format("{} is neither a ticket, such as {}alice@203.0.113.7:51820/3fa2, nor "
                            "a file with one: {}",
                            quoted(text), scheme, why),
                ENOENT);
  }
  std::string line(max_ticket + 1, '\0');
  for (int number = 1; file.getline(line.data(), static_cast<std::streamsize>(line.size()));
       ++number) {
    std::string_view found(line.c_str());
    while (!found.empty() && (found.back() == '\r' || found.back() == ' ')) found.remove_suffix(1);
    if (found.empty() || found.starts_with('#')) continue;
    auto ticket = Ticket::parse(found);
    if (!ticket) return fail_in(fmt::format("{}:{}", text, number), ticket.error());
    return ticket;
  }
  return fail(fmt::format("{}: there is no ticket in this file", text), EINVAL);
}

}  // namespace warren::carrier
