/// What one row needs, brought up: hosts, wires, networks and programs. Everything is gone when it
/// is destroyed.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/process.h"
#include "bench/scenario.h"
#include "bench/wire.h"

namespace warren::bench {

/// Where warren's own programs are.
struct Places {
  std::string warren;     ///< the program itself
  std::string examples;   ///< folder of the example programs
  std::string scenarios;  ///< folder of the scenarios that come with warren
};

/// Beside the running program: in the build tree, or as installed.
[[nodiscard]] Places find_places();

/// The command line with {warren} and {examples} replaced, split into words.
[[nodiscard]] Result<std::vector<std::string>> expand_command(const std::string& command,
                                                              const Places& places);
/// The whole command line that a row with a command runs: its own words and the forwarder's
/// arguments.
[[nodiscard]] Result<std::vector<std::string>> forwarder_command(const Scenario& scenario,
                                                                 const Row& row,
                                                                 const Places& places);

class Testbed {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Testbed>> build(const Scenario& scenario,
                                                              const Row& row, const Places& places);

  [[nodiscard]] const Host& host(const std::string& name) const { return *hosts_.at(name); }
  /// The processes that forward the traffic; those of impaired wires are not among them.
  [[nodiscard]] std::vector<pid_t> forwarders() const;
  /// An error in the words of a program that has died.
  [[nodiscard]] Result<> check();
  /// What was run, for the report: "middle# warren up …".
  [[nodiscard]] const std::vector<std::string>& commands() const { return commands_; }

 private:
  Testbed(const Scenario& scenario, const Places& places) : scenario_(scenario), places_(places) {}
  Result<> make_hosts();
  Result<> make_wire(const Wire& wire);
  Result<> run_network(const Network& network);
  Result<> run_program(const Program& program, const std::vector<std::string>& words);
  Result<Process*> start(const std::string& host, Command command);

  const Scenario& scenario_;
  const Places& places_;
  Hosts hosts_;
  std::deque<std::unique_ptr<Process>> processes_;
  std::vector<const Process*> wire_processes_;
  std::vector<std::string> commands_;
};

}  // namespace warren::bench
