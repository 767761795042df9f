// `warren wireguard`, and `warren-wireguard`: one WireGuard interface, which wg(8) and wg-quick(8) configure.
//
// What the environment says (WG_TUN_FD, WG_UAPI_FD, WG_PROCESS_FOREGROUND, LOG_LEVEL), and when the
// process is in the background, is as others' userspace implementations have it:
// https://www.wireguard.com/xplatform/.
#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <set>

#include "cli/ask.h"
#include "cli/background.h"
#include "cli/commands.h"
#include "cli/icmp.h"
#include "cli/signals.h"
#include "control/notify.h"
#include "core/log.h"
#include "linux/netlink.h"
#include "linux/privileges.h"
#include "tunnel/wireguard_service.h"

namespace warren::cli {

namespace {

using tunnel::WireguardService;

constexpr std::uint32_t default_mtu = 1420;  // of wg-quick, and of all others

struct WireguardOptions {
  std::string name;
  bool foreground = false;
  unsigned threads = 0;
  std::string carrier = "udp";
  std::vector<std::string> tickets;
  std::vector<std::string> users;
  IcmpDeviceFlags device;
};

/// What is made before the process goes to the background. There are no keys yet: a child does not
/// inherit locked memory.
struct Parts {
  Tun tun;
  Fd listener;
  std::string own_socket;  ///< the file that we made; empty where the listener was inherited
};

std::string_view environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

void set_log_level() {
  const auto wanted = environment("LOG_LEVEL");
  const bool verbose = wanted == "verbose" || wanted == "debug";
  log::set_level(wanted == "silent" ? log::Level::silent
                 : verbose          ? log::Level::debug
                                    : log::Level::error);
}

/// A descriptor that the parent process has opened for us; none where the variable is not set.
Result<Fd> inherited(const char* variable) {
  const auto text = environment(variable);
  if (text.empty()) return Fd();
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc{} || end != text.data() + text.size() || ::fcntl(fd, F_GETFD) < 0)
    return fail(fmt::format("{}={}: not the number of an open descriptor", variable, text), EBADF);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::unsetenv(variable);  // it is not for whom we may start
  return Fd(fd);
}

/// A program that waits for the end of its pipe must not wait for us.
void close_inherited() {
  std::set<unsigned> kept;
  for (const char* variable : {"WG_TUN_FD", "WG_UAPI_FD"}) {
    const auto text = environment(variable);
    unsigned fd = 0;
    std::from_chars(text.data(), text.data() + text.size(), fd);
    if (fd > STDERR_FILENO) kept.insert(fd);
  }
  unsigned from = STDERR_FILENO + 1;
  for (const unsigned fd : kept) {
    if (from < fd) ::close_range(from, fd - 1, 0);
    from = fd + 1;
  }
  ::close_range(from, UINT_MAX, 0);
}

Result<Tun> open_tun(const std::string& name) {
  auto fd = inherited("WG_TUN_FD");
  if (!fd) return tl::unexpected(fd.error());
  if (!*fd) {
    TunConfig config;
    config.name = name;
    config.mtu = default_mtu;
    config.up = false;
    config.offload = true;
    return Tun::open(config);
  }
  Fd second(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
  auto tun = Tun::adopt(std::move(*fd), /*offload=*/true);
  return tun ? std::move(tun) : Tun::adopt(std::move(second), /*offload=*/false);
}

Result<Parts> make_parts(const WireguardOptions& options) {
  auto tun = open_tun(options.name);
  if (!tun) return tl::unexpected(tun.error());
  auto listener = inherited("WG_UAPI_FD");
  if (!listener) return tl::unexpected(listener.error());
  if (*listener) return Parts{std::move(*tun), std::move(*listener), {}};
  const auto path = tunnel::uapi_path(tun->name());
  auto made = tunnel::listen_uapi(path);
  if (!made) return tl::unexpected(made.error());
  return Parts{std::move(*tun), std::move(*made), path};
}

/// "alice:3fa2"
Result<carrier::IcmpUser> parse_user(const std::string& text) {
  const auto colon = text.find(':');
  auto name = carrier::parse_user(std::string_view(text).substr(0, colon));
  if (!name) return tl::unexpected(name.error());
  if (colon == std::string::npos) return fail("there is no tag: write NAME:TAG", EINVAL);
  const auto tag = carrier::Tag::parse(std::string_view(text).substr(colon + 1));
  if (!tag) return tl::unexpected(tag.error());
  return carrier::IcmpUser{.name = std::move(*name), .tag = *tag};
}

Result<std::optional<tunnel::IcmpFlowsSettings>> read_carrier(const WireguardOptions& options) {
  tunnel::IcmpFlowsSettings flows{.devices = options.device.devices,
                                  .options = options.device.options()};
  for (const auto& text : options.tickets) {
    auto ticket = carrier::read_ticket(text);
    if (!ticket) return fail_in("--ticket", ticket.error());
    flows.servers.push_back({.ticket = std::move(*ticket)});
  }
  for (const auto& text : options.users) {
    auto user = parse_user(text);
    if (!user) return fail_in("--user", user.error());
    flows.users.push_back(std::move(*user));
  }
  const bool empty = flows.servers.empty() && flows.users.empty();
  if (options.carrier == "icmp" && empty)
    return fail("--carrier icmp needs --ticket for each server, or --user NAME:TAG for each user",
                EINVAL);
  if (options.carrier == "icmp") return flows;
  if (!empty || !flows.devices.empty())
    return fail("--ticket, --user and --dev belong to --carrier icmp", EINVAL);
  return std::optional<tunnel::IcmpFlowsSettings>();
}

// They may come later, as a telephone does; said while there is somebody to read it.
void name_missing(const std::string& name, const std::vector<std::string>& devices) {
  auto socket = netlink::Socket::open();
  for (const auto& device : devices)
    if (socket && !socket->link(device))
      log::error("{}: there is no interface {}; nothing is carried until there is", name, device);
}

Result<> give_up_privileges(bool carrier) {
  // Kernel programs, and their pins, which lie among the machine's mounts where ours are others.
  if (carrier)
    return keep_capabilities({CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK, CAP_BPF,
                              CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE});
  // Sockets' marks, ports below 1024, and memory for the keys of many peers.
  return keep_capabilities({CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK});
}

/// Until the interface ends: by a signal, or because its device or its socket is gone.
Result<> run(Parts parts, WireguardService::Options service_options,
             const std::function<void()>& ready) {
  if (auto given_up = give_up_privileges(service_options.icmp.has_value()); !given_up)
    return given_up;
  const auto signals = open_signals({SIGTERM, SIGINT, SIGHUP});
  if (!signals) return tl::unexpected(signals.error());
  auto loop = Loop::create();
  if (!loop) return tl::unexpected(loop.error());
  const auto name = parts.tun.name();
  service_options.on_end = [&loop = **loop] { loop.stop(); };
  auto service = WireguardService::create(**loop, std::move(parts.tun), std::move(parts.listener),
                                          std::move(service_options));
  if (!service) return tl::unexpected(service.error());
  auto watch = (*loop)->watch(signals->get(), [&] {
    if (next_signal(*signals) != 0) (*loop)->stop();
  });
  if (!watch) return tl::unexpected(watch.error());
  for (const auto& [what, value] : (*service)->details())
    log::debug("{}: {} {}", name, what, value);
  log::debug("{}: ready, on {}", name, (*loop)->backend());
  ready();
  control::notify("READY=1");
  auto done = (*loop)->run();
  control::notify("STOPPING=1");
  return done;
}

Result<> start(const WireguardOptions& options) {
  const bool foreground = options.foreground || environment("WG_PROCESS_FOREGROUND") == "1";
  if (!foreground) close_inherited();
  auto icmp = read_carrier(options);
  if (!icmp) return tl::unexpected(icmp.error());
  const WireguardService::Options service{.interface = {.threads = options.threads},
                                          .icmp = std::move(*icmp)};
  if (service.icmp) name_missing(options.name, service.icmp->devices);
  auto parts = make_parts(options);
  if (!parts) return tl::unexpected(parts.error());
  const auto own_socket = parts->own_socket;
  Result<> done;
  if (foreground) {
    done = run(std::move(*parts), service, [] {});
  } else {
    auto parent = fork_to_background();
    if (parent) {
      const auto wanted = environment("LOG_LEVEL");
      const auto output = wanted.empty() || wanted == "silent" ? Output::discard : Output::keep;
      done = run(std::move(*parts), service, [&] { is_ready(std::move(*parent), output); });
    } else {
      done = tl::unexpected(parent.error());
    }
  }
  // Where nothing has served it, it is still there.
  if (!done && !own_socket.empty()) ::unlink(own_socket.c_str());
  return done;
}

int wireguard(const WireguardOptions& options) {
  set_log_level();
  const auto done = start(options);
  if (!done) log::error("{}: {}", options.name, done.error().message);
  return done ? Exit::success : Exit::failed;
}

}  // namespace

void add_wireguard(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("wireguard", "Make a WireGuard interface, which wg(8) configures");
  auto options = std::make_shared<WireguardOptions>();
  command->add_option("NAME", options->name, "the interface, such as wg0")->required();
  command->add_flag("-f,--foreground", options->foreground,
                    "stay in the foreground, and say what is wrong on stderr");
  command
      ->add_option("--threads", options->threads,
                   "that encrypt (default: as many as suit this machine)")
      ->check(CLI::Range(0, 64));
  command
      ->add_option("--carrier", options->carrier,
                   "udp (default), or icmp: datagrams travel inside ICMP echo messages")
      ->check(CLI::IsMember({"udp", "icmp"}));
  command->add_option("--ticket", options->tickets,
                      "a server's ticket, or a file with one, for --carrier icmp; may be repeated");
  command->add_option("--user", options->users,
                      "NAME:TAG of a user that comes to this interface's port inside ICMP; may be "
                      "repeated");
  options->device.add_to(*command, "those of the routes");
  command->set_version_flag("--version", "warren-wireguard " WARREN_VERSION);
  command->footer(
      "Goes to the background when the interface and /var/run/wireguard/NAME.sock are there. Ends "
      "when "
      "the device or the socket is deleted, or by SIGTERM.\n"
      "LOG_LEVEL=verbose, debug, error or silent says how much it tells; in the background nothing "
      "where it is not set.\n"
      "\nExamples:\n"
      "  warren wireguard wg0 && wg setconf wg0 wg0.conf && ip link set wg0 up\n"
      "  LOG_LEVEL=debug warren wireguard -f wg0        # and watch it\n"
      "  WG_QUICK_USERSPACE_IMPLEMENTATION=warren-wireguard wg-quick up wg0\n"
      "  ip link delete wg0                             # ends it\n"
      "  warren wireguard wg0 --carrier icmp --ticket alice.ticket\n"
      "  warren wireguard wg0 --carrier icmp --user alice:3fa2      # on the server\n");
  command->callback([options, &chosen] { chosen = [options] { return wireguard(*options); }; });
}

}  // namespace warren::cli
