#include "wireguard/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "wireguard/key_text.h"

namespace warren::wireguard {

namespace {

tl::unexpected<Error> invalid(std::string message) { return fail(std::move(message), EINVAL); }

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view space = " \t\r\f\v";
  text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
  return text.substr(0, text.find_last_not_of(space) + 1);
}

/// A word out of a file as it may be shown: what is none could be anything, even a private key.
std::string shown(std::string_view text) {
  const bool word = text.size() <= 24 && std::ranges::all_of(text, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                    });
  return word ? std::string(text) : "before \"=\"";
}

Result<> read_number(std::string_view text, std::uint32_t max, bool off_and_hex,
                     std::uint32_t& out) {
  if (off_and_hex && same_word(text, "off")) {
    out = 0;
    return {};
  }
  const bool hex = off_and_hex && (text.starts_with("0x") || text.starts_with("0X"));
  const auto digits = hex ? text.substr(2) : text;
  const auto* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, out, hex ? 16 : 10);
  if (error != std::errc{} || rest != end || out > max)
    return invalid(fmt::format("not a number from 0 to {}{}", max, off_and_hex ? ", or off" : ""));
  return {};
}

Result<> read_key(std::string_view text, std::span<std::uint8_t, key_size> key) {
  if (!decode_base64(text, key))
    return invalid("not a key: 44 characters of base64, such as `wg genkey` prints");
  return {};
}

/// A list may be empty, its entries may not.
Result<> read_prefixes(std::string_view text, const std::function<void(const IpPrefix&)>& each) {
  for (int entry = 1; !text.empty(); ++entry) {
    const auto comma = text.find(',');
    const auto prefix = IpPrefix::parse(trim(text.substr(0, comma)));
    if (!prefix)
      return invalid(
          fmt::format("entry {} is not an address with a prefix length, such as "
                      "10.0.1.1/24 or fd00::1/64",
                      entry));
    each(*prefix);
    if (comma == std::string_view::npos) break;
    text = trim(text.substr(comma + 1));
    if (text.empty()) return invalid("nothing stands behind the last comma");
  }
  return {};
}

class Parser {
 public:
  explicit Parser(std::string_view name) : name_(name) { file_.device.replace_peers = true; }

  void line(std::string_view text) {
    ++number_;
    text = trim(text.substr(0, text.find('#')));
    if (text.empty()) return;
    if (text.starts_with('[')) return section(text);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return mistake("there is no \"=\" in this line");
    const auto key = trim(text.substr(0, equals));
    const auto value = trim(text.substr(equals + 1));
    if (section_ == Section::none)
      return mistake("this stands before any section: [Interface] or [Peer] comes first");
    if (section_ == Section::unknown) return;  // said once is enough
    const auto read =
        section_ == Section::interface ? interface_key(key, value) : peer_key(key, value);
    if (!read) mistake(fmt::format("{}: {}", shown(key), read.error().message));
  }

  Result<ConfigFile> finish() {
    finish_peer();
    if (interface_line_ == 0)
      mistakes_.push_back(fmt::format("{}: there is no [Interface] section", name_));
    else if (!file_.device.private_key)
      mistake_at(interface_line_, "[Interface] has no PrivateKey: `wg genkey` makes one");
    if (!mistakes_.empty()) return invalid(fmt::format("{}", fmt::join(mistakes_, "\n")));
    return std::move(file_);
  }

 private:
  enum class Section { none, interface, peer, unknown };

  void section(std::string_view text) {
    finish_peer();
    if (same_word(text, "[Interface]")) {
      if (interface_line_ != 0)
        mistake(fmt::format("a second [Interface]: the first is in line {}", interface_line_));
      section_ = Section::interface;
      interface_line_ = number_;
      // What the file does not name is none, as with `wg setconf`.
      file_.device.listen_port = 0;
      file_.device.fwmark = 0;
    } else if (same_word(text, "[Peer]")) {
      section_ = Section::peer;
      peer_line_ = number_;
      has_public_key_ = false;
      file_.device.peers.emplace_back().replace_allowed_ips = true;
    } else {
      mistake("no such section: there are [Interface] and [Peer]");
      section_ = Section::unknown;
    }
  }

  void finish_peer() {
    if (section_ == Section::peer && !has_public_key_)
      mistake_at(peer_line_, "[Peer] has no PublicKey: who it is follows from nothing else");
  }

  Result<> interface_key(std::string_view key, std::string_view value) {
    auto& device = file_.device;
    std::uint32_t number = 0;
    if (same_word(key, "PrivateKey")) return read_key(value, device.private_key.emplace().bytes());
    if (same_word(key, "ListenPort")) {
      auto read = read_number(value, 65535, false, number);
      device.listen_port = static_cast<std::uint16_t>(number);
      return read;
    }
    if (same_word(key, "FwMark")) {
      auto read = read_number(value, UINT32_MAX, true, number);
      device.fwmark = number;
      return read;
    }
    if (same_word(key, "Address"))
      return read_prefixes(value,
                           [&](const IpPrefix& prefix) { file_.addresses.push_back(prefix); });
    if (same_word(key, "MTU")) {
      auto read = read_number(value, 65535, false, number);
      if (read && number < 576) return invalid("an MTU is 576 to 65535");
      file_.mtu = number;
      return read;
    }
    for (const std::string_view other :
         {"DNS", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig"})
      if (same_word(key, other))
        return invalid(
            "this key is wg-quick's, which does more than the interface: use the file with "
            "`WG_QUICK_USERSPACE_IMPLEMENTATION=warren-wireguard wg-quick up`, or take the line "
            "out");
    return invalid("no key of [Interface]: those are PrivateKey, ListenPort, FwMark, Address, MTU");
  }

  Result<> peer_key(std::string_view key, std::string_view value) {
    auto& peer = file_.device.peers.back();
    if (same_word(key, "PublicKey")) {
      has_public_key_ = true;
      return read_key(value, peer.public_key);
    }
    if (same_word(key, "PresharedKey"))
      return read_key(value, peer.preshared_key.emplace().bytes());
    if (same_word(key, "Endpoint")) return parse_endpoint(value, peer);
    if (same_word(key, "AllowedIPs"))
      return read_prefixes(
          value, [&](const IpPrefix& prefix) { peer.allowed_ips.push_back({prefix, false}); });
    if (same_word(key, "PersistentKeepalive")) {
      std::uint32_t number = 0;
      auto read = read_number(value, 65535, true, number);
      peer.persistent_keepalive = static_cast<std::uint16_t>(number);
      return read;
    }
    return invalid(
        "no key of [Peer]: those are PublicKey, PresharedKey, Endpoint, AllowedIPs, "
        "PersistentKeepalive");
  }

  void mistake(std::string_view what) { mistake_at(number_, what); }
  void mistake_at(int line, std::string_view what) {
    // A file of something else entirely need not be shown whole.
    if (mistakes_.size() < 20) mistakes_.push_back(fmt::format("{}:{}: {}", name_, line, what));
  }

  std::string name_;
  ConfigFile file_;
  std::vector<std::string> mistakes_;
  Section section_ = Section::none;
  int number_ = 0;
  int interface_line_ = 0;
  int peer_line_ = 0;
  bool has_public_key_ = false;
};

}  // namespace

Result<ConfigFile> parse_config_file(std::string_view text, std::string_view name) {
  Parser parser(name);
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    parser.line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.finish();
}

}  // namespace warren::wireguard
