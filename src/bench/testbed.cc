#include "bench/testbed.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "bench/proc_file.h"
#include "bench/wait.h"
#include "linux/netlink.h"

namespace warren::bench {

namespace {

constexpr Milliseconds setup_patience{60000};  // for a program that sets something up and ends

// The socket on which a program says READY=1, as systemd does it: sd_notify(3).
class ReadySocket {
 public:
  static constexpr auto path = "/run/bench-notify";

  static Result<ReadySocket> open(const Host& host) {
    ReadySocket ready;
    ready.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto from_here = host.path(path);
    std::strncpy(address.sun_path, from_here.c_str(), sizeof address.sun_path - 1);
    ::unlink(from_here.c_str());
    if (!ready.socket_ ||
        ::bind(ready.socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return fail_errno(fmt::format("host {}: make {}", host.name(), path));
    return ready;
  }

  [[nodiscard]] bool ready() {
    char message[4096];
    ssize_t size;
    while ((size = ::recv(socket_.get(), message, sizeof message, 0)) > 0) {
      const std::string_view text(message, static_cast<std::size_t>(size));
      if (text == "READY=1" || text.starts_with("READY=1\n") ||
          text.find("\nREADY=1") != std::string_view::npos)
        return true;
    }
    return false;
  }

 private:
  Fd socket_;
};

// All threads of a process are asleep: '/proc/PID/task/TID/stat' has state S, and none has run
// since the last look.
class Idleness {
 public:
  explicit Idleness(pid_t pid) : folder_(fmt::format("/proc/{}/task", pid)) {}

  [[nodiscard]] bool idle() {
    std::string snapshot;
    std::error_code error;
    bool asleep = true;
    for (const auto& thread : std::filesystem::directory_iterator(folder_, error)) {
      const auto stat = read_proc_file(thread.path() / "stat");
      const auto state = stat.rfind(") ");
      asleep = asleep && state != std::string::npos && stat[state + 2] == 'S';
      snapshot += read_proc_file(thread.path() / "schedstat");
    }
    still_ = asleep && snapshot == last_ ? still_ + 1 : 0;
    last_ = std::move(snapshot);
    return still_ >= needed;
  }

 private:
  static constexpr int needed = 5;
  std::string folder_;
  std::string last_;
  int still_ = 0;
};

}  // namespace

Result<std::unique_ptr<Testbed>> Testbed::build(const Scenario& scenario, const Row& row,
                                                const Places& places) {
  std::unique_ptr<Testbed> bed(new Testbed(scenario, row, places));
  if (auto done = bed->make_hosts(); !done) return tl::unexpected(done.error());
  for (const auto& name : row.wires)
    if (auto done = bed->make_wire(named(scenario.wires, name)); !done)
      return fail_in(fmt::format("wire {}", name), done.error());
  for (const auto& name : row.networks)
    if (auto done = bed->run_network(named(scenario.networks, name)); !done)
      return fail_in(fmt::format("network {}", name), done.error());
  for (const auto& name : row.programs)
    if (auto done = bed->run_named(name); !done)
      return fail_in(fmt::format("program {}", name), done.error());
  if (!row.command.empty()) {
    const auto words = forwarder_command(scenario, row, places);
    if (!words) return tl::unexpected(words.error());
    if (auto done = bed->run_program(*scenario.forwarder, *words); !done)
      return tl::unexpected(done.error());
  }
  return bed;
}

Result<> Testbed::make_hosts() {
  for (const auto& name : scenario_.hosts) {
    auto host = Host::create(name);
    if (!host) return tl::unexpected(host.error());
    hosts_[name] = std::move(*host);
  }
  for (const auto& [name, host] : hosts_)
    for (const auto& [other_name, other] : hosts_)
      if (other != host)
        if (auto done = host->introduce(*other); !done) return done;
  return {};
}

Result<> Testbed::run_named(const std::string& name) {
  for (const auto& network : scenario_.networks)
    if (network.name == name) return run_network(network);
  const auto& program = named(scenario_.programs, name);
  const auto words = expand_command(program.command, scenario_, row_, places_, outputs_);
  if (!words) return tl::unexpected(words.error());
  return run_program(program, *words);
}

Result<Process*> Testbed::start(const std::string& host, const Command& command) {
  commands_.push_back(fmt::format("{}# {}", host, join_words(command.words)));
  auto process = Process::start(command, hosts_.at(host).get());
  if (!process) return fail_in(fmt::format("host {}", host), process.error());
  processes_.push_back(std::move(*process));
  return processes_.back().get();
}

Result<> Testbed::make_wire(const Wire& wire) {
  if (wire.join != Wire::Join::impaired) return make_veth_wire(wire, hosts_);
  if (auto done = run_network(Network{wire.name, wire.via, impaired_wire_file(wire)}); !done)
    return done;
  others_.push_back(processes_.back().get());
  for (const auto& device : wire.ends)
    if (auto done = set_up_device(device, *hosts_.at(device.host)); !done) return done;
  return {};
}

Result<> Testbed::run_network(const Network& network) {
  const auto& host = *hosts_.at(network.host);
  const auto file = fmt::format("/run/{}.toml", network.name);
  std::ofstream out(host.path(file));
  out << expand_text(network.text, row_, outputs_);
  out.close();
  if (!out) return fail_errno(fmt::format("host {}: write {}", network.host, file));
  auto ready = ReadySocket::open(host);
  if (!ready) return tl::unexpected(ready.error());
  std::vector<std::string> words = {places_.warren, "up", file};
  if (!row_.io.empty()) words.insert(words.end(), {"--io", row_.io});
  auto process =
      start(network.host,
            {words, {std::string("NOTIFY_SOCKET=") + ReadySocket::path, "WATCHDOG_USEC="}});
  if (!process) return tl::unexpected(process.error());
  return wait_until(fmt::format("READY=1 from `warren up {}`", file), [&]() -> Result<bool> {
    if (auto alive = check(); !alive) return tl::unexpected(alive.error());
    return ready->ready();
  });
}

Result<> Testbed::run_program(const Program& program, const std::vector<std::string>& words) {
  auto process = start(program.host, {words, {}});
  if (!process) return tl::unexpected(process.error());
  if (program.load) others_.push_back(*process);
  auto done = program.ends ? await_end(program, **process) : await_devices(program, **process);
  if (done && !program.ready.empty()) done = await_ready(program);
  if (!done) return done;
  for (const auto& device : program.move) {
    const auto& target = *hosts_.at(device.host);
    if (device.host != program.host) {
      auto socket = netlink::Socket::open(hosts_.at(program.host)->netns());
      if (!socket) return tl::unexpected(socket.error());
      if (auto moved = socket->move_link(device.name, target.netns()); !moved) return moved;
    }
    if (auto set_up = set_up_device(device, target); !set_up) return set_up;
  }
  return check();
}

Result<> Testbed::await_end(const Program& program, Process& process) {
  auto ended = wait_until(
      fmt::format("the end of {}", process.name()),
      [&]() -> Result<bool> { return !process.running(); }, setup_patience);
  if (!ended) return ended;
  if (!process.succeeded()) return fail(process.obituary());
  if (!program.output.empty()) {
    auto& output = outputs_[program.output] = process.output();
    while (!output.empty() && output.back() == '\n') output.pop_back();
  }
  processes_.pop_back();
  return {};
}

Result<> Testbed::await_ready(const Program& program) {
  const auto words = expand_command(program.ready, scenario_, row_, places_, outputs_);
  if (!words) return tl::unexpected(words.error());
  commands_.push_back(fmt::format("{}# until {}", program.host, join_words(*words)));
  std::unique_ptr<Process> question;
  auto ready = wait_until(fmt::format("success of `{}`", program.ready), [&]() -> Result<bool> {
    if (auto alive = check(); !alive) return tl::unexpected(alive.error());
    if (question && question->running()) return false;
    if (question && question->succeeded()) return true;
    auto asked = Process::start({*words, {}}, hosts_.at(program.host).get());
    if (!asked) return tl::unexpected(asked.error());
    question = std::move(*asked);
    return false;
  });
  if (!ready && question && ready.error().code == ETIMEDOUT)
    return fail(fmt::format("{}; {}", ready.error().message, question->obituary()));
  return ready;
}

// The program has made its devices and is done with setting them up when they are there and it
// sleeps.
Result<> Testbed::await_devices(const Program& program, Process& process) {
  auto socket = netlink::Socket::open(hosts_.at(program.host)->netns());
  if (!socket) return tl::unexpected(socket.error());
  Idleness idleness(process.pid());
  std::string devices;
  for (const auto& device : program.move) devices += (devices.empty() ? "" : " and ") + device.name;
  return wait_until(
      fmt::format("{} of {}", devices.empty() ? "the start" : "making " + devices, process.name()),
      [&]() -> Result<bool> {
        if (auto alive = check(); !alive) return tl::unexpected(alive.error());
        for (const auto& device : program.move)
          if (!socket->index(device.name)) return false;
        return !program.ready.empty() || idleness.idle();
      });
}

std::vector<pid_t> Testbed::forwarders() const {
  std::vector<pid_t> pids;
  for (const auto& process : processes_)
    if (std::find(others_.begin(), others_.end(), process.get()) == others_.end())
      pids.push_back(process->pid());
  return pids;
}

Result<std::optional<PacketCount>> Testbed::count_packets() const {
  if (!scenario_.counted) return std::nullopt;
  const auto count = bench::count_packets(hosts_, *scenario_.counted);
  if (!count) return tl::unexpected(count.error());
  return *count;
}

Result<> Testbed::check() {
  for (const auto& process : processes_)
    if (!process->running()) return fail(process->obituary());
  return {};
}

}  // namespace warren::bench
