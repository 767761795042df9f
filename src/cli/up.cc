// `warren up`: makes the network that a file describes, and runs it until it is told to stop.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/signals.h"
#include "config/network_file.h"
#include "control/instance.h"
#include "control/notify.h"
#include "control/server.h"
#include "control/service.h"
#include "core/log.h"
#include "net/journal.h"
#include "net/kernel_node.h"
#include "offload/segmenting_sink.h"

namespace warren::cli {

namespace {

struct UpOptions {
  std::string file;
  std::string name;
  bool check = false;
  bool dry_run = false;
  std::string backend = "auto";
  std::string log_level = "info";
};

Loop::Backend parse_backend(const std::string& name) {
  if (name == "io_uring") return Loop::Backend::io_uring;
  if (name == "epoll") return Loop::Backend::epoll;
  return Loop::Backend::automatic;
}

/// A running network. Members go down in the reverse order: first nobody can ask any more, then the
/// network, then the name is free again.
class Running {
 public:
  explicit Running(UpOptions options) : options_(std::move(options)) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    graph_.reset();
    net::journal().close();
  }

  Result<> start(const GraphSpec& spec);
  Result<> run();

 private:
  Result<> apply_first(const GraphSpec& spec);
  Result<> reload();
  void on_signal();

  UpOptions options_;
  std::optional<control::Instance> instance_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Graph> graph_;
  Fd signals_;
  std::unique_ptr<Loop::Watch> signal_watch_;
  std::optional<control::Service> service_;
  std::unique_ptr<control::Server> server_;
};

Result<> Running::start(const GraphSpec& spec) {
  auto signals = open_signals({SIGTERM, SIGINT, SIGHUP});
  if (!signals) return tl::unexpected(signals.error());
  signals_ = std::move(*signals);
  auto instance = control::Instance::claim(options_.name, std::chrono::seconds(5));
  if (!instance) return tl::unexpected(instance.error());
  instance_.emplace(std::move(*instance));

  if (auto done = net::journal().open(options_.name, control::journal_path(options_.name)); !done)
    return done;
  if (auto good = net::check_kernel(spec); !good) return good;

  auto loop = Loop::create(parse_backend(options_.backend));
  if (!loop) return tl::unexpected(loop.error());
  loop_ = std::move(*loop);
  if (!loop_->fallback_reason().empty()) log::info("using epoll: {}", loop_->fallback_reason());
  graph_ = std::make_unique<Graph>(*loop_, offload::SegmentingSink::between);
  if (auto applied = apply_first(spec); !applied) return applied;

  service_.emplace(
      options_.name, std::filesystem::absolute(options_.file).string(), *loop_, *graph_,
      control::Service::Actions{[this] { return reload(); }, [this] { loop_->stop(); }});
  auto server = control::Server::listen(
      *loop_, control::socket_path(options_.name),
      [this](std::string_view request) { return service_->handle(request); });
  if (!server) return tl::unexpected(server.error());
  server_ = std::move(*server);
  auto watch = loop_->watch(signals_.get(), [this] { on_signal(); });
  if (!watch) return tl::unexpected(watch.error());
  signal_watch_ = std::move(*watch);
  return {};
}

// The kernel lets go of the devices of a killed process a moment after the process is gone.
Result<> Running::apply_first(const GraphSpec& spec) {
  const auto deadline = Clock::now() + std::chrono::seconds(5);
  for (;;) {
    auto applied = graph_->apply(spec);
    if (applied || applied.error().code != EBUSY || !instance_->replaced_killed() ||
        Clock::now() > deadline)
      return applied;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<> Running::run() {
  log::info("{} is up, on {}: {} nodes, {} links", options_.name, loop_->backend(),
            graph_->spec().nodes.size(), graph_->spec().links.size());
  control::notify("READY=1");
  auto done = loop_->run();
  control::notify("STOPPING=1");
  graph_.reset();  // before the server, whose end tells `warren down` that everything is gone
  net::journal().close();
  log::info("{} is down", options_.name);
  return done;
}

Result<> Running::reload() {
  control::notify_reloading();
  auto done = [&]() -> Result<> {
    auto spec = config::read_network_file(options_.file);
    if (!spec) return tl::unexpected(spec.error());
    if (auto good = net::check_kernel(*spec, graph_->spec()); !good) return good;
    return graph_->apply(*spec);
  }();
  control::notify("READY=1");
  if (done)
    log::info("reloaded {}", options_.file);
  else
    log::error("reload failed, nothing has changed: {}", done.error().message);
  return done;
}

void Running::on_signal() {
  while (const int signal = next_signal(signals_)) {
    if (signal == SIGHUP) {
      if (!reload()) continue;  // it has said why
    } else {
      log::debug("signal {}", signal);
      loop_->stop();
    }
  }
}

// What `up` would change, for a person to read. A running instance holds what it made.
Result<> dry_run(const UpOptions& options, const GraphSpec& spec) {
  const auto journal = control::journal_path(options.name);
  const auto running = control::running_instances();
  if (std::ranges::find(running, options.name) != running.end())
    return fail(fmt::format("{} runs already; `warren status {}` shows what it holds", options.name,
                            options.name));
  net::journal().name(options.name);
  if (const auto left = net::Journal::left_behind(journal); left && *left != 0)
    fmt::print("first takes back {} changes of an instance that did not end in order\n", *left);
  if (auto good = net::check_kernel(spec); !good) return good;
  const auto changes = net::changes(spec);
  if (!changes) return tl::unexpected(changes.error());
  for (const auto& change : *changes) fmt::print("{}\n", change);
  fmt::print("{} changes; nothing was done\n", changes->size());
  return {};
}

int up(UpOptions options) {
  log::set_level(log::parse_level(options.log_level).value_or(log::Level::info));
  if (options.name.empty()) options.name = std::filesystem::path(options.file).stem().string();
  const auto spec = config::read_network_file(options.file);
  if (!spec) return report(tl::unexpected(spec.error()));
  if (options.check) {
    fmt::print("{} is good: {} nodes, {} links\n", options.file, spec->nodes.size(),
               spec->links.size());
    return Exit::success;
  }
  if (options.dry_run) return report(dry_run(options, *spec));
  Running running(std::move(options));
  auto done = running.start(*spec);
  if (done) done = running.run();
  return report(done);
}

}  // namespace

void add_up(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("up", "Make the network that FILE describes, and run it");
  auto options = std::make_shared<UpOptions>();
  command->add_option("FILE", options->file, "a network file; see warren.toml(5)")->required();
  command->add_option("--name", options->name,
                      "name of this instance (default: the file's name without .toml)");
  command->add_flag("--check", options->check,
                    "read the file, say what is wrong with it, and do nothing");
  command->add_flag("--dry-run", options->dry_run,
                    "say what would change in the kernel, and do nothing");
  command->add_option("--io", options->backend, "how to wait for packets")
      ->check(CLI::IsMember({"auto", "io_uring", "epoll"}));
  command->add_option("--log-level", options->log_level, "what to say on stderr")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}));
  command->footer(
      "Runs until SIGTERM, SIGINT or `warren down`, and then takes everything down. SIGHUP reloads "
      "the file.\n"
      "\nExamples:\n"
      "  warren up home.toml                 run it; in another terminal: warren status home\n"
      "  warren up home.toml --check         only read it\n"
      "  warren up home.toml --dry-run       what it would change in the kernel\n"
      "  warren up home.toml --name test     beside another instance of the same file's name\n"
      "  systemctl start warren@home         run /etc/warren/home.toml as a service\n");
  command->callback([options, &chosen] { chosen = [options] { return up(*options); }; });
}

}  // namespace warren::cli
