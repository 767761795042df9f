// Reads a scenario's TOML: parse_scenario() of scenario.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "bench/placeholders.h"
#include "bench/reader_tools.h"
#include "bench/scenario.h"
#include "bench/wire_reader.h"
#include "bench/workload_reader.h"
#include "config/toml_reader.h"

namespace warren::bench {

using config::TomlTable;

namespace {

// What a variant changes in a row: lists and names replace the row's, programs come after its own.
struct Variant {
  std::string name;
  std::string about;
  Names wires;
  Names programs;
  Names workloads;
  std::map<std::string, std::string> variables;
  std::optional<std::string> address;
  std::optional<int> peers;
  std::string relative_to;  // another variant of the row, or "plain"

  [[nodiscard]] Row of(const Row& plain) const {
    Row row = plain;
    row.name = plain.name + "+" + name;
    row.variant = name;
    row.plain = plain.name;
    if (!about.empty()) row.about = plain.about + "; " + about;
    if (!wires.empty()) row.wires = wires;
    row.programs.insert(row.programs.end(), programs.begin(), programs.end());
    if (!workloads.empty()) row.workloads = workloads;
    for (const auto& [variable, value] : variables) row.variables[variable] = value;
    if (address) row.address = address;
    if (peers) row.peers = *peers;
    return row;
  }
};

class Reader {
 public:
  Reader(TomlTable root, Scenario& scenario) : root_(std::move(root)), scenario_(scenario) {}

  void read() {
    scenario_.title = root_.string("title").value_or(scenario_.name);
    scenario_.hosts = root_.strings("hosts");
    for (const auto& tool : root_.strings("tools")) scenario_.tools[tool] = tool;
    read_timing();
    read_counted();
    if (scenario_.hosts.empty()) root_.error("hosts", "a scenario needs hosts = [\"NAME\", …]");
    for (auto& [name, table] : root_.named_tables("wire"))
      scenario_.wires.push_back(read_wire(name, table, scenario_.hosts));
    for (auto& [name, table] : root_.named_tables("network")) read_network(name, table);
    for (auto& [name, table] : root_.named_tables("program"))
      scenario_.programs.push_back(read_program(name, table, "command"));
    for (auto& [name, table] : root_.named_tables("group"))
      groups_[name] = table.parse_each("programs", one_of(startable(), "program"));
    if (auto table = root_.table("forwarder"))
      scenario_.forwarder = read_program("forwarder", *table, "arguments");
    for (auto& [name, table] : in_order(root_.named_tables("workload")))
      scenario_.workloads.push_back(
          read_workload(name, table, scenario_.hosts, scenario_.workloads));
    for (auto& [name, table] : in_order(root_.named_tables("variant"))) read_variant(name, table);
    // Two passes: a row may refer to one that stands below it.
    auto tables = root_.tables("row");
    for (auto& table : tables) read_row(table);
    const auto row = one_of(names_of(scenario_.rows), "row");
    for (std::size_t i = 0; i < tables.size(); ++i)
      scenario_.rows[i].relative_to = tables[i].parse("relative-to", row).value_or("");
    add_variants();
    scenario_.relative_to =
        root_.parse("relative-to", one_of(names_of(scenario_.rows), "row")).value_or("");
    relate_variants();
    for (auto& [name, table] : root_.named_tables("view")) read_view(name, table);
    if (auto table = root_.table("quick")) read_quick(*table);
    if (scenario_.workloads.empty()) root_.error("workload", "a scenario needs a [workload.NAME]");
    if (scenario_.rows.empty()) root_.error("row", "a scenario needs at least one [[row]]");
  }

 private:
  using NamedTables = std::vector<std::pair<std::string, TomlTable>>;

  // As the file has them, which is how they are run and shown.
  static NamedTables in_order(NamedTables tables) {
    std::stable_sort(tables.begin(), tables.end(), [](const auto& a, const auto& b) {
      return a.second.position().line < b.second.position().line;
    });
    return tables;
  }

  static std::optional<int> read_number(TomlTable& table, std::string_view key, int least) {
    constexpr int most = 65535;
    const auto number = table.integer(key, least, most);
    return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
  }

  void read_timing() {
    auto& timing = scenario_.timing;
    timing.duration_s = read_number(root_, "duration", 1).value_or(timing.duration_s);
    timing.warmup_s = read_number(root_, "warmup", 0).value_or(timing.warmup_s);
    timing.repeat = read_number(root_, "repeat", 1).value_or(timing.repeat);
  }

  void read_quick(TomlTable& table) {
    auto& quick = scenario_.quick;
    quick.rows = table.parse_each("rows", one_of(names_of(scenario_.rows), "row"));
    quick.workloads = read_workloads(table);
    quick.duration_s = read_number(table, "duration", 1);
    quick.warmup_s = read_number(table, "warmup", 0);
    quick.repeat = read_number(table, "repeat", 1);
  }

  std::vector<std::string> read_workloads(TomlTable& table) {
    return table.parse_each("workloads", one_of(names_of(scenario_.workloads), "workload"));
  }

  std::string read_host(TomlTable& table, std::string_view key) {
    return required(table, key, one_of(scenario_.hosts, "host"));
  }

  // "HOST:DEVICE"
  void read_counted() {
    root_.parse("count-at", [&](std::string_view text) -> Result<std::string> {
      const auto colon = text.find(':');
      if (colon == std::string_view::npos || colon + 1 == text.size())
        return fail(fmt::format("\"{}\" is not HOST:DEVICE", text));
      auto host = one_of(scenario_.hosts, "host")(text.substr(0, colon));
      if (!host) return host;
      scenario_.counted = CountedDevice{*host, std::string(text.substr(colon + 1))};
      return std::string(text);
    });
  }

  // Programs, and networks that come after some.
  [[nodiscard]] Names startable() const {
    auto names = names_of(scenario_.programs);
    for (const auto& network : scenario_.networks) names.push_back(network.name);
    return names;
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
    if (const auto networks = names_of(scenario_.networks);
        std::find(networks.begin(), networks.end(), name) != networks.end())
      table.error(table.position(), fmt::format("there is already a network \"{}\"", name));
    program.host = read_host(table, "host");
    if (command_key == "command")
      program.command = required(table, command_key, any_text);
    else
      program.command = table.string(command_key).value_or("");
    program.ends = table.boolean("ends").value_or(false);
    program.ready = table.string("ready").value_or("");
    program.output = table.string("output").value_or("");
    program.load = table.boolean("load").value_or(false);
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
    auto known = startable();
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
    row.io = table.parse("io", one_of({"io_uring", "epoll"}, "way to wait for packets")).value_or("");
    row.command = table.string("command").value_or("");
    if (!row.command.empty() && !scenario_.forwarder)
      table.error("command", "a row with a command needs the section [forwarder]");
    row.peer = table.boolean("peer").value_or(false);
    row.workloads = read_workloads(table);
    row.variables = read_variables(table);
    row.kernel_link = table.string("kernel-link").value_or("");
    row.peers = read_number(table, "peers", 1).value_or(row.peers);
    const auto host = one_of(scenario_.hosts, "host");
    row.client = table.parse("client", host);
    row.server = table.parse("server", host);
    row.address = table.string("address");
    variants_of_.push_back(table.parse_each("variants", one_of(names_of(variants_), "variant")));
    scenario_.rows.push_back(std::move(row));
  }

  static std::map<std::string, std::string> read_variables(TomlTable& table) {
    std::map<std::string, std::string> result;
    if (auto variables = table.table("variables"))
      for (const auto& key : variables->keys()) result[key] = variables->string(key).value_or("");
    return result;
  }

  void read_variant(const std::string& name, TomlTable& table) {
    Variant variant;
    variant.name = name;
    variant.about = table.string("about").value_or("");
    variant.wires = table.parse_each("wires", one_of(names_of(scenario_.wires), "wire"));
    variant.programs = read_programs(table);
    variant.workloads = read_workloads(table);
    variant.variables = read_variables(table);
    variant.address = table.string("address");
    variant.peers = read_number(table, "peers", 1);
    auto known = names_of(variants_);
    known.emplace_back("plain");
    variant.relative_to = table.parse("relative-to", one_of(known, "variant above")).value_or("");
    variants_.push_back(std::move(variant));
  }

  // Rows that are compared stand together: one variant of all rows after the other.
  void add_variants() {
    const auto plain_rows = scenario_.rows;
    for (const auto& variant : variants_)
      for (std::size_t i = 0; i < plain_rows.size(); ++i)
        if (const auto& own = variants_of_[i];
            std::find(own.begin(), own.end(), variant.name) != own.end())
          scenario_.rows.push_back(variant.of(plain_rows[i]));
  }

  void relate_variants() {
    for (auto& row : scenario_.rows) {
      if (row.variant.empty()) continue;
      const auto& to = named(variants_, row.variant).relative_to;
      const auto& of_plain = row.relative_to.empty() ? scenario_.relative_to : row.relative_to;
      if (to.empty())
        row.relative_to = scenario_.counterpart(row, of_plain);
      else
        row.relative_to = to == "plain" ? row.plain : row.plain + "+" + to;
    }
  }

  TomlTable root_;
  Scenario& scenario_;
  std::map<std::string, std::vector<std::string>> groups_;
  std::vector<Variant> variants_;
  std::vector<Names> variants_of_;  // by the place of the row
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
