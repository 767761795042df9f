/// What one row needs, brought up: hosts, wires, networks and programs. Everything is gone when it
/// is destroyed.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <warren/result.h>

#include "bench/placeholders.h"
#include "bench/process.h"
#include "bench/scenario.h"
#include "bench/wire.h"

namespace warren::bench {

class Testbed {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Testbed>> build(const Scenario& scenario,
                                                              const Row& row, const Places& places);

  [[nodiscard]] const Host& host(const std::string& name) const { return *hosts_.at(name); }
  /// The processes that forward the traffic; those of impaired wires, and those that hinder it, are
  /// not among them.
  [[nodiscard]] std::vector<pid_t> forwarders() const;
  /// Since the hosts were made; nothing where the scenario does not count.
  [[nodiscard]] Result<std::optional<PacketCount>> count_packets() const;
  /// An error in the words of a program that has died.
  [[nodiscard]] Result<> check();
  /// What was run, for the report: "middle# warren up …".
  [[nodiscard]] const std::vector<std::string>& commands() const { return commands_; }

 private:
  Testbed(const Scenario& scenario, const Row& row, const Places& places)
      : scenario_(scenario), row_(row), places_(places) {}
  Result<> make_hosts();
  Result<> make_wire(const Wire& wire);
  Result<> run_network(const Network& network);
  /// A program, or a network that comes after some.
  Result<> run_named(const std::string& name);
  Result<> run_program(const Program& program, const std::vector<std::string>& words);
  Result<> await_end(const Program& program, Process& process);
  Result<> await_ready(const Program& program);
  Result<> await_devices(const Program& program, Process& process);
  Result<Process*> start(const std::string& host, const Command& command);

  const Scenario& scenario_;
  const Row& row_;
  const Places& places_;
  Hosts hosts_;
  std::deque<std::unique_ptr<Process>> processes_;
  std::vector<const Process*> others_;
  std::vector<std::string> commands_;
  Outputs outputs_;
};

}  // namespace warren::bench
