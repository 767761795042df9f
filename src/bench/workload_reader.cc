#include "bench/workload_reader.h"

#include "bench/reader_tools.h"
#include "bench/round_trip.h"
#include "bench/stream.h"
#include "config/units.h"

namespace warren::bench {

using config::TomlTable;

namespace {

constexpr int largest_datagram = 65507;

void read_directions(Iperf3& iperf3, TomlTable& table) {
  if (!table.has("directions")) return;
  const Names known = {"forward", "reverse"};
  iperf3.directions.clear();
  for (const auto& direction : table.parse_each("directions", one_of(known, "direction")))
    iperf3.directions.push_back(direction == "forward" ? Direction::forward : Direction::reverse);
}

void read_iperf3(Iperf3& iperf3, TomlTable& table) {
  const Names protocols = {"tcp", "udp"};
  iperf3.udp = table.parse("protocol", one_of(protocols, "protocol")) == "udp";
  iperf3.rate = table.string("rate").value_or("");
  iperf3.streams = static_cast<int>(table.integer("streams", 1, 128).value_or(1));
  iperf3.congestion = table.string("congestion").value_or("cubic");
  if (const auto length = table.integer("length", 16, 1 << 20))
    iperf3.length = static_cast<int>(*length);
  read_directions(iperf3, table);
}

// What all tools have that time small packets.
void read_small_packets(Workload& workload, TomlTable& table) {
  workload.iperf3.udp = true;
  workload.iperf3.directions = {Direction::forward};
  workload.iperf3.length =
      static_cast<int>(table.integer("length", RoundTrip::least_length, largest_datagram)
                           .value_or(RoundTrip::default_length));
}

void read_stream(Workload& workload, TomlTable& table) {
  read_directions(workload.iperf3, table);
  workload.iperf3.udp = true;
  workload.iperf3.length =
      static_cast<int>(table.integer("length", Stream::least_length, largest_datagram)
                           .value_or(Stream::default_length));
  if (!table.has("pace"))
    table.error(table.position(), fmt::format("[{}] needs the key \"pace\"", table.path()));
  workload.stream_bits_per_s = table.parse("pace", &config::parse_rate).value_or(1);
}

void read_ping(Workload& workload, TomlTable& table, const std::vector<Workload>& before) {
  read_small_packets(workload, table);
  workload.iperf3.udp = false;
  workload.ping.interval = table.duration("interval").value_or(workload.ping.interval);
  if (workload.ping.interval < PingPace::least_interval)
    table.error("interval", "an interval of less than 100us is no pace");
  Names loads;
  for (const auto& other : before)
    if (other.tool == Workload::Tool::iperf3) loads.push_back(other.name);
  workload.beside = table.parse("beside", one_of(loads, "iperf3 workload above")).value_or("");
}

void read_handshakes(Workload& workload, TomlTable& table) {
  workload.iperf3.directions = {Direction::forward};
  auto& load = workload.handshakes;
  load.device = required(table, "interface", any_text);
  load.initiators = static_cast<int>(
      table.integer("initiators", 1, HandshakeLoad::most_initiators).value_or(load.initiators));
  for (const auto* key : {"endpoint", "sources"})
    if (!table.has(key))
      table.error(table.position(), fmt::format("[{}] needs the key \"{}\"", table.path(), key));
  load.endpoint = table.parse("endpoint", &IpAddress::parse).value_or(load.endpoint);
  load.sources = table.parse("sources", &IpPrefix::parse).value_or(load.sources);
  if (load.endpoint.ipv6 || load.sources.address.ipv6)
    table.error("endpoint", "initiators have IPv4 addresses");
  else if (table.has("sources") && load.sources.length > 32 - load.bits())
    table.error("sources",
                fmt::format("{} has no {} addresses", load.sources.to_string(), load.initiators));
}

}  // namespace

Workload read_workload(const std::string& name, TomlTable& table,
                       const std::vector<std::string>& hosts, const std::vector<Workload>& before) {
  Workload workload;
  workload.name = name;
  workload.client = required(table, "client", one_of(hosts, "host"));
  workload.server = required(table, "server", one_of(hosts, "host"));
  const std::map<std::string, Workload::Tool> tools = {{"iperf3", Workload::Tool::iperf3},
                                                       {"round-trip", Workload::Tool::round_trip},
                                                       {"ping", Workload::Tool::ping},
                                                       {"stream", Workload::Tool::stream},
                                                       {"handshakes", Workload::Tool::handshakes}};
  Names names;
  for (const auto& tool : tools) names.push_back(tool.first);
  workload.tool = tools.at(table.parse("tool", one_of(names, "tool")).value_or("iperf3"));
  if (workload.tool != Workload::Tool::handshakes)
    workload.address = required(table, "address", any_text);
  switch (workload.tool) {
    case Workload::Tool::iperf3:
      read_iperf3(workload.iperf3, table);
      break;
    case Workload::Tool::round_trip:
      read_small_packets(workload, table);
      break;
    case Workload::Tool::ping:
      read_ping(workload, table, before);
      break;
    case Workload::Tool::stream:
      read_stream(workload, table);
      break;
    case Workload::Tool::handshakes:
      read_handshakes(workload, table);
      break;
  }
  return workload;
}

}  // namespace warren::bench
