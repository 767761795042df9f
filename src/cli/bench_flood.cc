// `warren bench-flood`, which scenarios use: forged initiations, and the idle port that they are
// compared with.
#include <CLI/CLI.hpp>

#include <memory>

#include "bench/flood.h"
#include "bench/wait.h"
#include "cli/commands.h"
#include "core/log.h"
#include "wireguard/device_config.h"
#include "wireguard/key_text.h"

namespace warren::cli {

namespace {

struct Options {
  std::string to;
  std::string idle;
  std::string public_key;
  int rate = 10000;
};

Result<bench::SocketAddress> parse_address(const std::string& text) {
  const auto endpoint = wireguard::Endpoint::parse(text);
  if (!endpoint) return tl::unexpected(endpoint.error());
  if (endpoint->address.ipv6) return fail(text + " is no IPv4 address");
  return bench::SocketAddress(endpoint->address, endpoint->port);
}

Result<> flood(const Options& options) {
  const auto address = parse_address(options.idle.empty() ? options.to : options.idle);
  if (!address) return tl::unexpected(address.error());
  if (!options.idle.empty()) return bench::hold_idle_port(*address);
  bench::Flood flood;
  flood.to = *address;
  flood.per_second = options.rate;
  if (!wireguard::decode_base64(options.public_key, flood.responder))
    return fail("--public-key is no key");
  return bench::run_flood(flood);
}

int run(const Options& options) {
  const bench::InterruptScope interrupts;
  if (auto done = flood(options); !done) {
    log::error("bench-flood: {}", done.error().message);
    return failed;
  }
  return success;
}

}  // namespace

void add_bench_flood(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("bench-flood", "send forged WireGuard initiations");
  command->group("");  // not in the help
  auto options = std::make_shared<Options>();
  auto* to = command->add_option("--to", options->to, "ADDRESS:PORT of the responder");
  auto* idle = command->add_option("--idle", options->idle,
                                   "hold this ADDRESS:PORT and read nothing, send nothing");
  auto* key = command->add_option("--public-key", options->public_key, "of the responder");
  to->needs(key);
  idle->excludes(to);
  command->add_option("--rate", options->rate, "initiations per second")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->callback([options, &chosen] {
    if (options->to.empty() && options->idle.empty()) throw CLI::RequiredError("--to or --idle");
    chosen = [options] { return run(*options); };
  });
}

}  // namespace warren::cli
