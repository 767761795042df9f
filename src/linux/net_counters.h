/// Counters of the kernel's protocols as nstat(8) shows them: snmp and netstat in /proc/net.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace warren {

/// "Tcp" and "RetransSegs". Nothing where the kernel has no such counter. `folder`: /proc/PID/net, where
/// another namespace is meant than the calling thread's.
[[nodiscard]] std::optional<std::uint64_t> net_counter(
    std::string_view protocol, std::string_view name,
    const std::string& folder = "/proc/thread-self/net");

}  // namespace warren
