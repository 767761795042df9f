#include "linux/net_counters.h"

#include <fstream>
#include <sstream>
#include <string>

namespace warren {

namespace {

// Two lines for each protocol: "Tcp: NAMES…" and "Tcp: VALUES…".
std::optional<std::uint64_t> find_in(const std::string& table, std::string_view protocol,
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

std::optional<std::uint64_t> net_counter(std::string_view protocol, std::string_view name,
                                         const std::string& folder) {
  for (const auto* table : {"/snmp", "/netstat"})
    if (const auto value = find_in(folder + table, protocol, name)) return value;
  return std::nullopt;
}

}  // namespace warren
