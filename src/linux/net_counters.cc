#include "linux/net_counters.h"

#include <fstream>
#include <sstream>
#include <string>

namespace warren {

namespace {

// Two lines for each protocol: "Tcp: NAMES…" and "Tcp: VALUES…".
std::optional<std::uint64_t> find_in(const char* table, std::string_view protocol,
                                     std::string_view wanted) {
  std::ifstream in(table);
  std::string names;
  std::string values;
  while (std::getline(in, names) && std::getline(in, values)) {
    if (names.substr(0, names.find(':')) != protocol) continue;
    std::istringstream name_fields(names);
    std::istringstream value_fields(values);
    for (std::string name, value; name_fields >> name && value_fields >> value;)
      if (name == wanted) return std::stoull(value);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> net_counter(std::string_view protocol, std::string_view name) {
  // Not /proc/net, which is that of the process and not of the thread.
  for (const auto* table : {"/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"})
    if (const auto value = find_in(table, protocol, name)) return value;
  return std::nullopt;
}

}  // namespace warren
