/// The sections of a network file, each read into the configuration of its node. Mistakes are noted
/// in the document.
#pragma once

#include <string>
#include <string_view>

#include <warren/tun.h>

#include "carrier/icmp_node.h"
#include "config/toml_reader.h"
#include "core/port.h"
#include "io/impairment.h"

namespace warren::config {

/// [tun.NAME]
[[nodiscard]] TunConfig read_tun_section(TomlTable& section, const std::string& name);
/// [impair.NAME]
[[nodiscard]] ImpairmentConfig read_impair_section(TomlTable& section);
/// [icmp.NAME]
[[nodiscard]] carrier::IcmpNodeSettings read_icmp_section(TomlTable& section,
                                                          const std::string& name);
/// The key `medium`: "ip" (default) or "ethernet".
[[nodiscard]] Medium read_medium(TomlTable& section);

/// "10.0.0.0/8 via 10.0.1.2 metric 5"; "default" is 0.0.0.0/0, or ::/0 where the gateway is IPv6.
[[nodiscard]] Result<Route> parse_route(std::string_view text);

}  // namespace warren::config
