/// The text that wg(8) and a userspace implementation exchange over /var/run/wireguard/NAME.sock
/// (https://www.wireguard.com/xplatform/). No socket here.
///
///     set=1                                    get=1
///     private_key=e84b…                        ⏎
///     public_key=b85996…                       private_key=e84b…
///     endpoint=[2001:db8::7]:51820             …
///     allowed_ip=10.0.0.7/32                   errno=0
///     ⏎                                        ⏎
///     errno=0
///     ⏎
///
/// A request is read whole before any of it takes effect. Errors carry the errno value to answer:
/// EPROTO for what is not the protocol, EINVAL for unknown keys and wrong values. Their messages name
/// line and key, never a value that is a key.
#pragma once

#include <string_view>
#include <variant>

#include "wireguard/device_config.h"
#include "wireguard/key_text.h"

namespace warren::wireguard::uapi {

/// The length of the request that `received` begins with, its empty line included; 0 where more of it
/// is to come.
[[nodiscard]] std::size_t request_length(std::string_view received) noexcept;

struct Get {};
/// A set request is what it sets.
using Request = std::variant<Get, DeviceConfig>;

/// Of one request, as request_length() measures it.
[[nodiscard]] Result<Request> parse_request(std::string_view text,
                                            Endpoint::FindDevice find_device = nullptr);

// The answer to get is the device, its peers and the end; that to set is the end alone.
void write_device(SecretText& out, const DeviceStatus& device);
void write_peer(SecretText& out, const PeerStatus& peer);
/// `error` is an errno value, 0 where all went well. It is written as the kernel returns it, negative,
/// which is how wg(8) reads it.
void write_end(SecretText& out, int error);

}  // namespace warren::wireguard::uapi
