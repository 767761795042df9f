// Whatever is read is complete; whatever is refused says where, and shows nothing unprintable.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "wireguard/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(data[i]);
  const auto file = warren::wireguard::parse_config_file(text, "wg0.conf");
  if (!file) {
    if (!file.error().message.starts_with("wg0.conf:")) std::abort();
    for (const char c : file.error().message)
      if (c != '\n' && c < ' ' && c >= 0) std::abort();
    return 0;
  }
  if (!file->device.private_key || !file->device.replace_peers) std::abort();
  if (file->mtu && (*file->mtu < 576 || *file->mtu > 65535)) std::abort();
  for (const auto& address : file->addresses)
    if (address.length > address.address.bits()) std::abort();
  for (const auto& peer : file->device.peers) {
    if (peer.endpoint && peer.endpoint_name) std::abort();
    for (const auto& change : peer.allowed_ips)
      if (change.prefix.length > change.prefix.address.bits()) std::abort();
  }
  return 0;
}
