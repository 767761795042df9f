/// What an interface and its peers are told, and what they tell of themselves: plain values, the same
/// whether they come from the UAPI socket, a configuration file or a program.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <warren/address.h>
#include <warren/result.h>

#include "crypto/secret.h"

namespace warren::wireguard {

/// Where a peer's packets come from and go to.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  std::uint32_t scope_id = 0;  ///< the device of a link-local IPv6 address, or 0
  /// Our own address that the peer sends to: packets to it leave from there. None: the kernel's
  /// choice.
  std::optional<IpAddress> source{};

  /// The number of a network device by its name or number, 0 where there is none: if_nametoindex(3).
  using FindDevice = unsigned int (*)(const char* name);

  /// "203.0.113.7:51820", "[2001:db8::7]:51820" or, with `find_device`, "[fe80::7%eth0]:51820".
  [[nodiscard]] static Result<Endpoint> parse(std::string_view text,
                                              FindDevice find_device = nullptr);
  /// A scope as its number.
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// A host to be looked up, whenever its peer is silent.
struct EndpointName {
  std::string host;
  std::uint16_t port = 0;

  friend bool operator==(const EndpointName&, const EndpointName&) = default;
};

struct AllowedIpChange {
  IpPrefix prefix;
  bool remove = false;

  friend bool operator==(const AllowedIpChange&, const AllowedIpChange&) = default;
};

/// Changes of a peer; what is not there stays as it is. A key of zeros removes the key.
struct PeerConfig {
  crypto::PublicKey public_key{};
  bool remove = false;       ///< the rest is ignored
  bool update_only = false;  ///< does nothing where there is no such peer
  bool replace_allowed_ips = false;
  std::optional<crypto::Key> preshared_key{};
  std::optional<Endpoint> endpoint{};
  std::optional<EndpointName> endpoint_name{};  ///< instead of `endpoint`; never from the UAPI
  std::optional<std::uint16_t> persistent_keepalive{};  ///< seconds; 0 is off
  std::vector<AllowedIpChange> allowed_ips{};           ///< in this order, after a replacement

  friend bool operator==(const PeerConfig&, const PeerConfig&) = default;
};

/// An endpoint as people write it: an address, or a host's name, each with a port. Sets `endpoint` or
/// `endpoint_name`, and unsets the other.
[[nodiscard]] Result<> parse_endpoint(std::string_view text, PeerConfig& peer,
                                      Endpoint::FindDevice find_device = nullptr);

/// Changes of an interface; what is not there stays as it is.
struct DeviceConfig {
  std::optional<crypto::Key> private_key{};
  std::optional<std::uint16_t> listen_port{};  ///< 0: any
  std::optional<std::uint32_t> fwmark{};       ///< 0: none
  bool replace_peers = false;                  ///< by those that follow
  std::vector<PeerConfig> peers{};             ///< in this order; one may come twice

  friend bool operator==(const DeviceConfig&, const DeviceConfig&) = default;
};

struct DeviceStatus {
  crypto::Key private_key{};  ///< zeros: none
  std::uint16_t listen_port = 0;
  std::uint32_t fwmark = 0;
};

struct PeerStatus {
  crypto::PublicKey public_key{};
  crypto::Key preshared_key{};  ///< zeros: none
  std::optional<Endpoint> endpoint{};
  std::int64_t last_handshake_seconds = 0;  ///< since 1970; 0: never
  std::int64_t last_handshake_nanoseconds = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint16_t persistent_keepalive = 0;
  std::span<const IpPrefix> allowed_ips{};
};

}  // namespace warren::wireguard
