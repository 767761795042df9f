/// Counters of the kernel's protocols, of the calling thread's network namespace, as nstat(8) shows
/// them: /proc/net/snmp and /proc/net/netstat.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace warren {

/// "Tcp" and "RetransSegs". Nothing where the kernel has no such counter.
[[nodiscard]] std::optional<std::uint64_t> net_counter(std::string_view protocol,
                                                       std::string_view name);

}  // namespace warren
