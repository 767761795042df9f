#include "bench/packet_count.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "control/client.h"
#include "linux/net_counters.h"

namespace warren::bench {

namespace {

constexpr std::chrono::seconds patience(5);  // for the answer of an instance that is busy

std::ifstream open_table(const Host& host, const char* table) {
  return std::ifstream(fmt::format("/proc/{}/net/{}", host.pid(), table));
}

// "  eth0: 8 columns of what came, of which the second is packets, then 8 of what went".
Result<PacketCount> count_device(const Hosts& hosts, const CountedDevice& counted) {
  constexpr std::size_t came = 1;
  constexpr std::size_t went = 9;
  auto in = open_table(*hosts.at(counted.host), "dev");
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    const auto begin = line.find_first_not_of(' ');
    if (colon == std::string::npos || line.substr(begin, colon - begin) != counted.device) continue;
    std::istringstream fields(line.substr(colon + 1));
    std::vector<std::int64_t> values;
    for (std::int64_t value = 0; fields >> value;) values.push_back(value);
    if (values.size() > went) return PacketCount{values[went], values[came], 0};
  }
  return fail(
      fmt::format("host {} has no device {} to count packets at", counted.host, counted.device));
}

std::int64_t fragments_made(const Host& host) {
  const auto folder = fmt::format("/proc/{}/net", host.pid());
  auto sum = static_cast<std::int64_t>(net_counter("Ip", "FragCreates", folder).value_or(0));
  auto ipv6 = open_table(host, "snmp6");  // one "NAME VALUE" each
  std::int64_t value = 0;
  for (std::string name; ipv6 >> name >> value;)
    if (name == "Ip6FragCreates") sum += value;
  return sum;
}

// Where VXLAN and WireGuard are joined, the kernel sees none of it.
std::int64_t fragments_of_tunnels(const Host& host) {
  std::int64_t sum = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(host.path("/run/warren"), none)) {
    if (entry.path().extension() != ".sock") continue;
    auto client = control::Client::connect_at(entry.path(), entry.path().stem(), patience);
    if (!client) continue;
    const auto answer = client->ask(R"({"command":"status"})");
    const auto parsed = nlohmann::json::parse(answer.value_or(""), nullptr, false);
    if (!parsed.is_object()) continue;
    const nlohmann::json::json_pointer nodes("/status/nodes");
    for (const auto& node : parsed.value(nodes, nlohmann::json::array()))
      if (const auto details = node.find("details"); details != node.end())
        sum += std::atoll(details->value("fragments made", "0").c_str());
  }
  return sum;
}

}  // namespace

PacketCount PacketCount::since(const PacketCount& before) const {
  return {out - before.out, back - before.back, fragments - before.fragments};
}

Result<PacketCount> count_packets(const Hosts& hosts, const CountedDevice& device) {
  auto count = count_device(hosts, device);
  if (!count) return count;
  for (const auto& [name, host] : hosts)
    count->fragments += fragments_made(*host) + fragments_of_tunnels(*host);
  return count;
}

}  // namespace warren::bench
