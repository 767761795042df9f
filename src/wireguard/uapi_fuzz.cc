// Whatever is a set request is the same when it is written as the answer to get and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "wireguard/uapi.h"

namespace {

using namespace warren::wireguard;

unsigned int find_device(const char* name) { return static_cast<unsigned char>(name[0]); }

/// Only what a get answer can say: peers as they are, not changes.
PeerConfig plain(const PeerConfig& peer) {
  PeerConfig out;
  out.public_key = peer.public_key;
  out.preshared_key = peer.preshared_key.value_or(warren::crypto::Key{});
  out.endpoint = peer.endpoint;
  out.persistent_keepalive = peer.persistent_keepalive.value_or(0);
  for (const auto& change : peer.allowed_ips) out.allowed_ips.push_back({change.prefix, false});
  return out;
}

void write(SecretText& out, const PeerConfig& peer) {
  std::vector<warren::IpPrefix> prefixes;
  for (const auto& change : peer.allowed_ips) prefixes.push_back(change.prefix);
  PeerStatus status;
  status.public_key = peer.public_key;
  status.preshared_key = *peer.preshared_key;
  status.endpoint = peer.endpoint;
  status.persistent_keepalive = *peer.persistent_keepalive;
  status.allowed_ips = prefixes;
  uapi::write_peer(out, status);
}

/// An answer as a request: without what only answers have.
std::string as_request(const SecretText& answer) {
  std::string out = "set=1\n";
  std::string_view rest(answer.data(), answer.size());
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n') + 1);
    rest.remove_prefix(line.size());
    if (!line.starts_with("last_") && !line.starts_with("tx_") && !line.starts_with("rx_"))
      out += line;
  }
  return out + "\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(data[i]);
  const auto length = uapi::request_length(text);
  if (length > text.size()) std::abort();
  const auto request = uapi::parse_request(text, find_device);
  if (!request) {
    if (request.error().code != EINVAL && request.error().code != EPROTO) std::abort();
    return 0;
  }
  const auto* device = std::get_if<DeviceConfig>(&*request);
  if (device == nullptr) return 0;
  for (const auto& peer : device->peers) {
    SecretText answer;
    write(answer, plain(peer));
    const auto again = uapi::parse_request(as_request(answer), find_device);
    if (!again) std::abort();
    const auto& peers = std::get<DeviceConfig>(*again).peers;
    if (peers.size() != 1 || !(peers[0] == plain(peer))) std::abort();
  }
  return 0;
}
