#include "control/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "core/log.h"
#include "linux/unix_socket.h"

namespace warren::control {

namespace {

constexpr auto tend_interval = std::chrono::milliseconds(20);

}  // namespace

Server::Server(Loop& loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)), timer_(loop, [this] { tend(); }) {}

Server::~Server() {
  // The answer to the last request, `down`, may still stand here.
  for (auto& client : clients_)
    if (!client.dead && !client.out.empty()) write_to(client);
}

Result<std::unique_ptr<Server>> Server::listen(Loop& loop, const std::string& path,
                                               Handler handler) {
  auto fd = listen_unix(path, static_cast<int>(max_clients));
  if (!fd) return tl::unexpected(fd.error());
  std::unique_ptr<Server> server(new Server(loop, std::move(handler)));
  server->listener_ = std::move(*fd);
  if (auto watching = server->watch_listener(); !watching) return tl::unexpected(watching.error());
  return server;
}

Result<> Server::watch_listener() {
  auto watch = loop_.watch(listener_.get(), [this] { accept_all(); });
  if (!watch) return tl::unexpected(watch.error());
  watch_ = std::move(*watch);
  return {};
}

void Server::accept_all() {
  for (;;) {
    if (clients_.size() >= max_clients) {
      watch_.reset();  // others wait in the kernel's queue until one of these has gone
      return;
    }
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    auto& client = clients_.emplace_back();
    client.fd = std::move(fd);
    client.last_heard = loop_.now();
    auto watch = loop_.watch(client.fd.get(), [this, &client] { read_from(client); });
    if (!watch) {
      drop(client, watch.error().message);
      continue;
    }
    client.watch = std::move(*watch);
    tend_by(loop_.now() + tend_interval);
  }
}

void Server::read_from(Client& client) {
  if (client.dead) return;
  std::array<char, 4096> buffer;
  const auto size = ::recv(client.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return drop(client, "");
  client.last_heard = loop_.now();
  client.in.append(buffer.data(), static_cast<std::size_t>(size));
  answer(client);
}

void Server::answer(Client& client) {
  if (std::count(client.in.begin(), client.in.end(), '\n') > static_cast<long>(max_pipelined))
    return drop(client, "it does not wait for its answers");
  for (std::size_t end; (end = client.in.find('\n')) != std::string::npos;) {
    client.out += handler_(std::string_view(client.in).substr(0, end));
    client.out += '\n';
    client.in.erase(0, end + 1);
  }
  if (client.in.size() > max_request) return drop(client, "its request is too long");
  write_to(client);
}

void Server::write_to(Client& client) {
  while (!client.out.empty()) {
    const auto size =
        ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) {
      // It gets no more answers before it has read these.
      client.watch.reset();
      tend_by(loop_.now() + tend_interval);
      return;
    }
    if (size < 0) return drop(client, "");
    client.out.erase(0, static_cast<std::size_t>(size));
  }
  if (client.watch || client.dead) return;
  auto watch = loop_.watch(client.fd.get(), [this, &client] { read_from(client); });
  if (!watch) return drop(client, watch.error().message);
  client.watch = std::move(*watch);
}

void Server::drop(Client& client, std::string_view reason) {
  if (!reason.empty()) log::warning("control socket: dropped a client: {}", reason);
  client.dead = true;
  tend_by(loop_.now());
}

void Server::tend_by(Clock::time_point when) { timer_.set(std::min(timer_.when(), when)); }

void Server::tend() {
  for (auto& client : clients_) {
    if (client.dead) continue;
    if (!client.out.empty()) write_to(client);
    if (loop_.now() - client.last_heard > idle_limit)
      drop(client, client.out.empty() ? "" : "it does not read its answer");
  }
  clients_.remove_if([](const Client& client) { return client.dead; });
  if (!watch_ && clients_.size() < max_clients)
    if (auto watching = watch_listener(); !watching)
      log::error("control socket: {}", watching.error().message);
  if (clients_.empty()) return timer_.cancel();
  const bool unsent = std::ranges::any_of(clients_, [](const Client& c) { return !c.out.empty(); });
  timer_.set(loop_.now() + (unsent ? tend_interval : std::chrono::milliseconds(1000)));
}

}  // namespace warren::control
