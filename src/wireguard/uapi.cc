#include "wireguard/uapi.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace warren::wireguard::uapi {

namespace {

tl::unexpected<Error> invalid(std::string_view why) { return fail(std::string(why), EINVAL); }

template <class Number>
Result<> read_number(std::string_view text, std::optional<Number>& out) {
  Number number{};
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || rest != end)
    return invalid(fmt::format("not a number from 0 to {}", std::numeric_limits<Number>::max()));
  out = number;
  return {};
}

Result<> read_true(std::string_view text, bool& out) {
  if (text != "true") return invalid("\"true\" is the only value");
  out = true;
  return {};
}

Result<> read_key(std::string_view text, std::span<std::uint8_t, key_size> key) {
  if (!decode_hex(text, key)) return invalid("a key is 64 hexadecimal digits");
  return {};
}

Result<> read_secret(std::string_view text, std::optional<crypto::Key>& out) {
  return read_key(text, out.emplace().bytes());
}

Result<> read_allowed_ip(std::string_view text, PeerConfig& peer) {
  AllowedIpChange change;
  change.remove = text.starts_with('-');
  if (change.remove) text.remove_prefix(1);
  const auto prefix = IpPrefix::parse(text);
  if (!prefix || text.find('/') == std::string_view::npos)
    return invalid("not an address with a prefix length, such as 10.0.1.0/24 or fd00::/64");
  change.prefix = *prefix;
  peer.allowed_ips.push_back(change);
  return {};
}

Result<> read_device_line(std::string_view key, std::string_view value, DeviceConfig& device) {
  if (key == "private_key") return read_secret(value, device.private_key);
  if (key == "listen_port") return read_number(value, device.listen_port);
  if (key == "fwmark") return read_number(value, device.fwmark);
  if (key == "replace_peers") return read_true(value, device.replace_peers);
  return invalid("no such key of an interface");
}

Result<> read_peer_line(std::string_view key, std::string_view value, PeerConfig& peer,
                        Endpoint::FindDevice find_device) {
  if (key == "remove") return read_true(value, peer.remove);
  if (key == "update_only") return read_true(value, peer.update_only);
  if (key == "preshared_key") return read_secret(value, peer.preshared_key);
  if (key == "persistent_keepalive_interval") return read_number(value, peer.persistent_keepalive);
  if (key == "allowed_ip") return read_allowed_ip(value, peer);
  if (key == "replace_allowed_ips") {
    peer.allowed_ips.clear();
    return read_true(value, peer.replace_allowed_ips);
  }
  if (key == "endpoint") {
    auto endpoint = Endpoint::parse(value, find_device);
    if (!endpoint) return tl::unexpected(endpoint.error());
    peer.endpoint = *endpoint;
    return {};
  }
  if (key == "protocol_version") {
    if (value != "1") return invalid("only version 1 is known");
    return {};
  }
  return invalid("no such key of a peer");
}

/// A key's name as it may be shown: what is no name could be anything, even a private key.
std::string shown(std::string_view key) {
  const bool name = key.size() <= 30 &&
                    key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos;
  return name ? std::string(key) : "before \"=\"";
}

Result<> read_set_line(std::string_view line, DeviceConfig& device,
                       Endpoint::FindDevice find_device) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return fail("there is no \"=\"", EPROTO);
  const auto key = line.substr(0, equals);
  const auto value = line.substr(equals + 1);
  Result<> read;
  if (key == "public_key")
    read = read_key(value, device.peers.emplace_back().public_key);
  else if (device.peers.empty())
    read = read_device_line(key, value, device);
  else
    read = read_peer_line(key, value, device.peers.back(), find_device);
  if (!read) return fail_in(shown(key), read.error());
  return {};
}

}  // namespace

std::size_t request_length(std::string_view received) noexcept {
  const auto end = received.find("\n\n");
  return end == std::string_view::npos ? 0 : end + 2;
}

Result<Request> parse_request(std::string_view text, Endpoint::FindDevice find_device) {
  std::size_t number = 0;
  const auto next_line = [&] {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    return line;
  };
  const auto operation = next_line();
  if (operation == "get=1") {
    if (!next_line().empty())
      return fail("get=1 takes no further lines: an empty one follows", EINVAL);
    return Get{};
  }
  if (operation != "set=1")
    return fail("a request begins with get=1 or set=1: other versions are not known", EPROTO);
  DeviceConfig device;
  while (!text.empty()) {
    const auto line = next_line();
    if (line.empty()) break;
    if (auto read = read_set_line(line, device, find_device); !read)
      return fail_in(fmt::format("line {}", number), read.error());
  }
  return device;
}

void write_device(SecretText& out, const DeviceStatus& device) {
  if (!device.private_key.is_zero()) {
    out += "private_key=";
    append_hex(out, std::span<const std::uint8_t, key_size>(device.private_key));
    out += '\n';
  }
  auto end = std::back_inserter(out);
  if (device.listen_port != 0) fmt::format_to(end, "listen_port={}\n", device.listen_port);
  if (device.fwmark != 0) fmt::format_to(end, "fwmark={}\n", device.fwmark);
}

void write_peer(SecretText& out, const PeerStatus& peer) {
  out += "public_key=";
  append_hex(out, peer.public_key);
  out += "\npreshared_key=";
  append_hex(out, std::span<const std::uint8_t, key_size>(peer.preshared_key));
  out += "\nprotocol_version=1\n";
  auto end = std::back_inserter(out);
  if (peer.endpoint) fmt::format_to(end, "endpoint={}\n", peer.endpoint->to_string());
  fmt::format_to(end, "last_handshake_time_sec={}\nlast_handshake_time_nsec={}\n",
                 peer.last_handshake_seconds, peer.last_handshake_nanoseconds);
  fmt::format_to(end, "tx_bytes={}\nrx_bytes={}\npersistent_keepalive_interval={}\n",
                 peer.sent_bytes, peer.received_bytes, peer.persistent_keepalive);
  for (const auto& prefix : peer.allowed_ips)
    fmt::format_to(end, "allowed_ip={}\n", prefix.to_string());
}

void write_end(SecretText& out, int error) {
  fmt::format_to(std::back_inserter(out), "errno={}\n\n", -error);
}

}  // namespace warren::wireguard::uapi
