/// The subcommands of `warren`: each file adds its own to the parser and names what to run if the
/// user chose it.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace warren::cli {

/// The status that the program ends with.
enum Exit : int { success = 0, failed = 1, usage = 2 };

/// What the user chose; a subcommand's callback sets it and main runs it, after the whole command
/// line was understood.
using Chosen = std::function<int()>;

void add_up(CLI::App& app, Chosen& chosen);
void add_status(CLI::App& app, Chosen& chosen);
void add_reload(CLI::App& app, Chosen& chosen);
void add_down(CLI::App& app, Chosen& chosen);
void add_doctor(CLI::App& app, Chosen& chosen);
void add_plan(CLI::App& app, Chosen& chosen);
void add_bench(CLI::App& app, Chosen& chosen);
void add_bench_flood(CLI::App& app, Chosen& chosen);
void add_icmp(CLI::App& app, Chosen& chosen);
void add_wireguard(CLI::App& app, Chosen& chosen);

}  // namespace warren::cli
