/// Keys that sections about devices share.
#pragma once

#include <string>

#include "config/toml_reader.h"
#include "net/sections.h"

namespace warren::config {

/// `address`, `routes`, `same-way-back`, `gateway`.
[[nodiscard]] net::Layer3 read_layer3(TomlTable& section);
/// `clamp-mss`: "auto", or the size of an IPv4 segment.
[[nodiscard]] net::MssClamp read_clamp(TomlTable& section);
/// A name of a device in the file, such as `over`; empty where it is absent.
[[nodiscard]] net::Located read_device_name(TomlTable& section, const char* key);
[[nodiscard]] net::Located locate(const TomlTable& section, const TomlString& text);
/// Notes a mistake where a device with IPv6 addresses is too narrow for them.
void check_ipv6_mtu(TomlTable& section, std::uint32_t mtu, const net::Layer3& layer3);

}  // namespace warren::config
