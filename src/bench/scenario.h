/// A scenario: hosts, the wires between them, what runs on them, and the rows to compare.
/// scenarios/*.toml are files of this kind, and say by example how they are written.
///
///     hosts = ["left", "middle", "right"]
///     count-at = "HOST:DEVICE"   where packets are counted, see packet_count.h
///     tools = […]      programs of others; a row that needs one which is not installed is skipped
///     [wire.NAME]      a link of the test bed: veth, veth joined by bpf_redirect_peer, or impaired
///     [network.NAME]   a network file that `warren up` runs in a host; {NAME} in it as in a command
///     [program.NAME]   another program, with its command line, and devices of its to move to hosts
///     [group.NAME]     programs that rows name together
///     [forwarder]      what a row runs that has a `command`, and what --row and --peer run
///     [workload.NAME]  the traffic
///     [[row]]          a line of the table: which wires, networks and programs it brings up
///     [variant.NAME]   what rows change in a variant of theirs, ROW+NAME
///     [quick]          what --quick measures
///     [view.NAME]      another table, made of some rows of one workload
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warren/address.h>
#include <warren/result.h>

#include "bench/handshakes.h"
#include "bench/iperf3.h"
#include "bench/packet_count.h"
#include "bench/ping.h"
#include "linux/ethtool.h"

namespace warren::bench {

/// A network device, where it is to be and how it is to be set up.
struct Device {
  std::string host;
  std::string name;
  std::vector<IpPrefix> addresses;
  std::vector<Route> routes;
  std::optional<std::uint32_t> mtu;
  std::map<ethtool::Feature, bool> offload;  ///< those not named stay as the driver has them
};

struct Wire {
  enum class Join {
    veth,           ///< one veth pair
    redirect_peer,  ///< two veth pairs, joined in the host `via` by bpf_redirect_peer
    impaired,  ///< two TAP devices, joined in the host `via` by `warren up` with an impairment node
  };
  std::string name;
  Join join = Join::veth;
  std::string via;
  std::string impair;        ///< the keys of the impairment node, as TOML lines
  std::vector<Device> ends;  ///< two
};

/// A network file; `text` is what it says, from wherever the scenario had it.
struct Network {
  std::string name;
  std::string host;
  std::string text;
};

struct Program {
  std::string name;
  std::string host;
  std::string command;       ///< with placeholders, see placeholders.h
  std::vector<Device> move;  ///< devices that it makes, and where they go
  bool ends = false;   ///< it runs to its end, and must end with status 0, before the next starts
  std::string ready;   ///< a command of the same host; it is repeated until it succeeds
  std::string output;  ///< of one that ends: what it printed is {OUTPUT} in later commands
  bool load = false;   ///< it hinders what is measured, and is no part of it
};

struct Workload {
  enum class Tool {
    iperf3,
    round_trip,  ///< datagrams of `iperf3.length` bytes there and back, one at a time; round_trip.h
    ping,        ///< echo requests of `iperf3.length` bytes at a pace; ping.h
    stream,      ///< datagrams of `iperf3.length` bytes at a pace, one way; stream.h
    handshakes,  ///< WireGuard handshakes with the server, as fast as it answers; handshakes.h
  };
  std::string name;
  std::string client;   ///< host
  std::string server;   ///< host
  std::string address;  ///< of the server
  Tool tool = Tool::iperf3;
  Iperf3 iperf3;
  PingPace ping;
  std::uint64_t stream_bits_per_s = 0;
  std::string beside;  ///< of ping: the iperf3 workload that runs at the same time
  HandshakeLoad handshakes;
};

struct Row {
  std::string name;
  std::string about;
  std::vector<std::string> wires;
  std::vector<std::string> networks;
  std::vector<std::string> programs;  ///< and networks, where those come after programs
  std::string command;                ///< run as the scenario's forwarder; empty if there is none
  bool peer = false;  ///< somebody else's program: a row that is skipped where it is not installed
  std::vector<std::string> workloads;            ///< those that it is measured with; empty: all
  std::map<std::string, std::string> variables;  ///< {NAME} in the commands of its programs
  std::string relative_to;  ///< the row that its ratio refers to; empty: the scenario's
  std::string variant;      ///< "ipv6" of "NAME+ipv6", which was made of the row NAME
  std::string plain;        ///< that row
  std::string io;           ///< how its networks wait for packets (`warren up --io`); empty: as they like
  std::string kernel_link;  ///< skipped where the kernel has no devices of this kind: "wireguard"
  int peers = 1;            ///< {peers} in commands; memory is told for each one more than `plain`
  std::optional<std::string> client;  ///< in place of the workload's
  std::optional<std::string> server;
  std::optional<std::string> address;

  [[nodiscard]] bool runs(const Workload& workload) const;
};

/// What --quick leaves of a scenario. Empty lists leave all.
struct Quick {
  std::vector<std::string> rows;
  std::vector<std::string> workloads;
  std::optional<int> duration_s;
  std::optional<int> warmup_s;
  std::optional<int> repeat;
};

/// Rows of one workload, compared with one of them.
struct View {
  std::string name;
  std::string title;
  std::string workload;
  std::string base;  ///< the row that losses are relative to
  std::vector<std::string> rows;
};

/// How long and how often; what the command line leaves open is the scenario's to say.
struct Timing {
  int duration_s = 5;
  int warmup_s = 1;
  int repeat = 5;
};

struct Scenario {
  std::string name;
  std::string title;
  std::string path;
  std::vector<std::string> hosts;
  std::vector<Wire> wires;
  std::vector<Network> networks;
  std::vector<Program> programs;
  std::optional<Program> forwarder;  ///< its command is what is appended to a row's
  std::vector<Workload> workloads;
  std::vector<Row> rows;
  std::vector<View> views;
  std::optional<CountedDevice> counted;
  std::map<std::string, std::string> tools;  ///< name and command line; the name, unless --peer
  Timing timing;
  Quick quick;
  std::string relative_to;  ///< the row that ratios refer to, beside loopback, unless a row says
                            ///< otherwise

  [[nodiscard]] const Row* find_row(std::string_view row) const;
  /// The row that figures of `row` are compared with where `to` is asked for: of a variant, the
  /// same variant of `to`, if that has it.
  [[nodiscard]] std::string counterpart(const Row& row, const std::string& to) const;
  /// Compares every row with that one, in place of what the scenario says.
  void compare_with(const std::string& row);
  [[nodiscard]] const View* find_view(std::string_view view) const;
  /// Says where the tool of that name is; or adds a row that runs `command` as the forwarder, or
  /// gives the row of that name another command.
  Result<> set_row(const std::string& row, const std::string& command, bool peer);
};

/// Errors name file, line, column and key, and suggest the nearest name.
[[nodiscard]] Result<Scenario> parse_scenario(std::string_view text, const std::string& path);
[[nodiscard]] Result<Scenario> load_scenario(const std::string& path);

}  // namespace warren::bench
