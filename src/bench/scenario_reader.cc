// Reads a scenario's TOML: parse_scenario() of scenario.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "bench/round_trip.h"
#include "bench/scenario.h"
#include "config/sections.h"
#include "config/suggest.h"
#include "config/toml_reader.h"

namespace warren::bench {

using config::TomlTable;

namespace {

using Names = std::vector<std::string>;

template <class Items>
Names names_of(const Items& items) {
  Names names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

// A parser for TomlTable::parse that takes one of `known` and calls it a `kind` in its error.
auto one_of(Names known, std::string_view kind) {
  return [known, kind](std::string_view text) -> Result<std::string> {
    if (std::find(known.begin(), known.end(), text) != known.end()) return std::string(text);
    return fail(fmt::format("unknown {} \"{}\"{}", kind, text, config::suggest(text, known)));
  };
}

std::string required(TomlTable& table, std::string_view key, auto parse) {
  if (!table.has(key)) {
    table.error(table.position(), fmt::format("[{}] needs the key \"{}\"", table.path(), key));
    return {};
  }
  return table.parse(key, parse).value_or("");
}

const auto any_text = [](std::string_view text) -> Result<std::string> {
  if (text.empty()) return fail("must not be empty");
  return std::string(text);
};

const std::map<std::string, ethtool::Feature, std::less<>> features = {
    {"tx-checksum", ethtool::Feature::tx_checksum},
    {"tso", ethtool::Feature::tso},
    {"gso", ethtool::Feature::gso},
    {"gro", ethtool::Feature::gro},
    {"tx-udp-segmentation", ethtool::Feature::tx_udp_segmentation},
};

void read_device(TomlTable& table, Device& device) {
  device.addresses = table.parse_each("address", &IpPrefix::parse);
  device.routes = table.parse_each("routes", &config::parse_route);
  if (const auto mtu = table.integer("mtu", 68, 65535))
    device.mtu = static_cast<std::uint32_t>(*mtu);
  if (auto offload = table.table("offload")) {
    for (const auto& [name, feature] : features)
      if (const auto on = offload->boolean(name)) device.offload[feature] = *on;
  }
}

class Reader {
 public:
  Reader(TomlTable root, Scenario& scenario) : root_(std::move(root)), scenario_(scenario) {}

  void read() {
    scenario_.title = root_.string("title").value_or(scenario_.name);
    scenario_.hosts = root_.strings("hosts");
    for (const auto& tool : root_.strings("tools")) scenario_.tools[tool] = tool;
    read_timing();
    if (scenario_.hosts.empty()) root_.error("hosts", "a scenario needs hosts = [\"NAME\", …]");
    for (auto& [name, table] : root_.named_tables("wire")) read_wire(name, table);
    for (auto& [name, table] : root_.named_tables("network")) read_network(name, table);
    for (auto& [name, table] : root_.named_tables("program"))
      scenario_.programs.push_back(read_program(name, table, "command"));
    for (auto& [name, table] : root_.named_tables("group"))
      groups_[name] = table.parse_each("programs", one_of(names_of(scenario_.programs), "program"));
    if (auto table = root_.table("forwarder"))
      scenario_.forwarder = read_program("forwarder", *table, "arguments");
    for (auto& [name, table] : root_.named_tables("workload")) read_workload(name, table);
    // Two passes: a row may refer to one that stands below it.
    auto tables = root_.tables("row");
    for (auto& table : tables) read_row(table);
    const auto row = one_of(names_of(scenario_.rows), "row");
    for (std::size_t i = 0; i < tables.size(); ++i)
      scenario_.rows[i].relative_to = tables[i].parse("relative-to", row).value_or("");
    for (auto& [name, table] : root_.named_tables("view")) read_view(name, table);
    scenario_.quick = root_.parse_each("quick", row);
    scenario_.relative_to = root_.parse("relative-to", row).value_or("");
    if (scenario_.workloads.empty()) root_.error("workload", "a scenario needs a [workload.NAME]");
    if (scenario_.rows.empty()) root_.error("row", "a scenario needs at least one [[row]]");
  }

 private:
  void read_timing() {
    auto& timing = scenario_.timing;
    const auto read = [&](std::string_view key, int& value, int least) {
      constexpr int most = 3600;
      if (const auto number = root_.integer(key, least, most)) value = static_cast<int>(*number);
    };
    read("duration", timing.duration_s, 1);
    read("warmup", timing.warmup_s, 0);
    read("repeat", timing.repeat, 1);
  }

  std::string read_host(TomlTable& table, std::string_view key) {
    return required(table, key, one_of(scenario_.hosts, "host"));
  }

  void read_wire(const std::string& name, TomlTable& table) {
    Wire wire;
    wire.name = name;
    const Names joins = {"veth", "redirect-peer"};
    const auto join = table.parse("join", one_of(joins, "join")).value_or("veth");
    if (join == "redirect-peer") wire.join = Wire::Join::redirect_peer;
    if (auto impair = table.table("impair")) {
      if (table.has("join")) table.error("impair", "a wire has either \"join\" or \"impair\"");
      wire.join = Wire::Join::impaired;
      for (const auto& key : impair->keys()) read_impairment(*impair, key, wire.impair);
    }
    if (wire.join != Wire::Join::veth) wire.via = read_host(table, "via");
    Device common;
    read_device(table, common);
    auto ends = table.tables("end");
    if (ends.size() != 2)
      table.error(table.position(), fmt::format("a wire has two ends: [[wire.{}.end]]", name));
    for (auto& end : ends) {
      Device device = common;
      device.host = read_host(end, "host");
      device.name = required(end, "device", any_text);
      Device own;
      read_device(end, own);
      if (!own.addresses.empty()) device.addresses = own.addresses;
      if (!own.routes.empty()) device.routes = own.routes;
      if (own.mtu) device.mtu = own.mtu;
      for (const auto& [feature, on] : own.offload) device.offload[feature] = on;
      wire.ends.push_back(std::move(device));
    }
    if (wire.join == Wire::Join::impaired && wire.ends.size() == 2 &&
        wire.ends[0].name == wire.ends[1].name)
      table.error("impair", "the devices at the two ends of an impaired wire need different names");
    scenario_.wires.push_back(std::move(wire));
  }

  // What the keys mean is for the network file's own reader to say.
  static void read_impairment(TomlTable& table, const std::string& key, std::string& lines) {
    if (key == "seed" || key == "queue") {
      if (const auto number = table.integer(key, 0, INT64_MAX))
        lines += fmt::format("{} = {}\n", key, *number);
    } else if (const auto value = table.string(key)) {
      lines += fmt::format("{} = \"{}\"\n", key, *value);
    }
  }

  void read_network(const std::string& name, TomlTable& table) {
    Network network;
    network.name = name;
    network.host = read_host(table, "host");
    if (table.has("text") == table.has("file"))
      table.error(table.position(),
                  fmt::format("[{}] needs either \"text\" or \"file\"", table.path()));
    if (const auto text = table.string("text")) network.text = *text;
    if (table.has("file"))
      network.text = table.parse("file", [&](auto f) { return read_beside(f); }).value_or("");
    scenario_.networks.push_back(std::move(network));
  }

  [[nodiscard]] Result<std::string> read_beside(std::string_view file) const {
    const auto path = (std::filesystem::path(scenario_.path).parent_path() / file).string();
    std::ifstream in(path);
    if (!in) return fail_errno(fmt::format("read {}", path));
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  Program read_program(const std::string& name, TomlTable& table, std::string_view command_key) {
    Program program;
    program.name = name;
    program.host = read_host(table, "host");
    if (command_key == "command")
      program.command = required(table, command_key, any_text);
    else
      program.command = table.string(command_key).value_or("");
    program.ends = table.boolean("ends").value_or(false);
    program.ready = table.string("ready").value_or("");
    program.output = table.string("output").value_or("");
    if (!program.output.empty() && !program.ends)
      table.error("output", "only a program with `ends = true` has an output to hand on");
    for (auto& move : table.tables("move")) {
      Device device;
      device.name = required(move, "device", any_text);
      device.host = read_host(move, "to");
      read_device(move, device);
      program.move.push_back(std::move(device));
    }
    return program;
  }

  void read_workload(const std::string& name, TomlTable& table) {
    Workload workload;
    workload.name = name;
    workload.client = read_host(table, "client");
    workload.server = read_host(table, "server");
    workload.address = required(table, "address", any_text);
    const Names tools = {"iperf3", "round-trip"};
    if (table.parse("tool", one_of(tools, "tool")) == "round-trip")
      return read_round_trip(std::move(workload), table);
    const Names protocols = {"tcp", "udp"};
    auto& iperf3 = workload.iperf3;
    iperf3.udp = table.parse("protocol", one_of(protocols, "protocol")) == "udp";
    iperf3.rate = table.string("rate").value_or("");
    iperf3.streams = static_cast<int>(table.integer("streams", 1, 128).value_or(1));
    iperf3.congestion = table.string("congestion").value_or("cubic");
    if (const auto length = table.integer("length", 16, 1 << 20))
      iperf3.length = static_cast<int>(*length);
    if (table.has("directions")) {
      const Names known = {"forward", "reverse"};
      iperf3.directions.clear();
      for (const auto& direction : table.parse_each("directions", one_of(known, "direction")))
        iperf3.directions.push_back(direction == "forward" ? Direction::forward
                                                           : Direction::reverse);
    }
    scenario_.workloads.push_back(std::move(workload));
  }

  void read_round_trip(Workload workload, TomlTable& table) {
    workload.tool = Workload::Tool::round_trip;
    workload.iperf3.udp = true;
    workload.iperf3.directions = {Direction::forward};
    constexpr int largest = 65507;
    workload.iperf3.length =
        static_cast<int>(table.integer("length", RoundTrip::least_length, largest)
                             .value_or(RoundTrip::default_length));
    scenario_.workloads.push_back(std::move(workload));
  }

  void read_view(const std::string& name, TomlTable& table) {
    View view;
    view.name = name;
    view.title = table.string("title").value_or(name);
    const auto row = one_of(names_of(scenario_.rows), "row");
    view.workload = required(table, "workload", one_of(names_of(scenario_.workloads), "workload"));
    view.base = required(table, "base", row);
    view.rows = table.parse_each("rows", row);
    scenario_.views.push_back(std::move(view));
  }

  // Groups are replaced by their programs.
  std::vector<std::string> read_programs(TomlTable& table) {
    auto known = names_of(scenario_.programs);
    for (const auto& [name, programs] : groups_) known.push_back(name);
    std::vector<std::string> result;
    for (const auto& name : table.parse_each("programs", one_of(known, "program"))) {
      if (const auto group = groups_.find(name); group != groups_.end())
        result.insert(result.end(), group->second.begin(), group->second.end());
      else
        result.push_back(name);
    }
    return result;
  }

  void read_row(TomlTable& table) {
    Row row;
    row.name = required(table, "name", [&](std::string_view text) -> Result<std::string> {
      if (text.empty()) return fail("a row needs a name");
      if (scenario_.find_row(text) != nullptr)
        return fail(fmt::format("there is already a row \"{}\"", text));
      return std::string(text);
    });
    row.about = table.string("about").value_or("");
    row.wires = table.parse_each("wires", one_of(names_of(scenario_.wires), "wire"));
    row.networks = table.parse_each("networks", one_of(names_of(scenario_.networks), "network"));
    row.programs = read_programs(table);
    row.command = table.string("command").value_or("");
    if (!row.command.empty() && !scenario_.forwarder)
      table.error("command", "a row with a command needs the section [forwarder]");
    row.peer = table.boolean("peer").value_or(false);
    row.workloads =
        table.parse_each("workloads", one_of(names_of(scenario_.workloads), "workload"));
    if (auto variables = table.table("variables"))
      for (const auto& key : variables->keys())
        row.variables[key] = variables->string(key).value_or("");
    const auto host = one_of(scenario_.hosts, "host");
    row.client = table.parse("client", host);
    row.server = table.parse("server", host);
    row.address = table.string("address");
    scenario_.rows.push_back(std::move(row));
  }

  TomlTable root_;
  Scenario& scenario_;
  std::map<std::string, std::vector<std::string>> groups_;
};

}  // namespace

Result<Scenario> parse_scenario(std::string_view text, const std::string& path) {
  auto document = config::TomlDocument::parse(text, path);
  if (!document) return tl::unexpected(document.error());
  Scenario scenario;
  scenario.path = path;
  scenario.name = std::filesystem::path(path).stem();
  Reader(document->root(), scenario).read();
  if (auto finished = document->finish(); !finished) return tl::unexpected(finished.error());
  return scenario;
}

}  // namespace warren::bench
