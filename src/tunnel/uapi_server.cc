#include "tunnel/uapi_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <new>

#include "core/log.h"
#include "linux/unix_socket.h"

namespace warren::tunnel {

namespace {

using wireguard::DeviceConfig;
using wireguard::SecretText;

constexpr std::size_t read_size = 64 * 1024;
// So much is written at once to one client, before packets get their turn.
constexpr std::size_t write_size = 1024 * 1024;

// The file that a listener is bound to; empty where it is none.
std::string path_of(int listener) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.sun_family != AF_UNIX || size <= offsetof(sockaddr_un, sun_path))
    return {};
  const auto length = size - offsetof(sockaddr_un, sun_path);
  return {address.sun_path, ::strnlen(address.sun_path, length)};
}

}  // namespace

std::string uapi_path(std::string_view interface) {
  return fmt::format("/var/run/wireguard/{}.sock", interface);
}

Result<Fd> listen_uapi(const std::string& path) {
  const auto directory = std::filesystem::path(path).parent_path().string();
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
    return fail_errno("make the directory " + directory);
  constexpr int backlog = 16;
  auto listener = listen_unix(path, backlog);
  if (listener || listener.error().code != EADDRINUSE) return listener;
  if (answers_unix(path))
    return fail(fmt::format("{}: another process serves this interface; end it first", path),
                EADDRINUSE);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail_errno("remove the socket that a killed process has left, " + path);
  return listen_unix(path, backlog);
}

UapiServer::UapiServer(Loop& loop, Fd listener, UapiHandlers handlers)
    : loop_(loop),
      handlers_(std::move(handlers)),
      path_(path_of(listener.get())),
      file_(identify(path_)),
      listener_(std::move(listener)) {}

UapiServer::~UapiServer() {
  if (file_ != FileId{} && identify(path_) == file_) ::unlink(path_.c_str());
}

Result<std::unique_ptr<UapiServer>> UapiServer::create(Loop& loop, Fd listener,
                                                       UapiHandlers handlers) {
  std::unique_ptr<UapiServer> server(
      new UapiServer(loop, std::move(listener), std::move(handlers)));
  if (auto started = server->start(); !started) return tl::unexpected(started.error());
  return server;
}

Result<> UapiServer::start() {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(listener_.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0)
    return fail_errno("use the descriptor for wg(8)");
  if (listens == 0) return fail("use the descriptor for wg(8): it does not listen", EINVAL);
  const int flags = ::fcntl(listener_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("use the descriptor for wg(8)");
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail_errno("make an epoll descriptor");
  if (!path_.empty())
    if (auto watched = watch_file(); !watched) return watched;
  if (auto added = add_events(listener_.get(), EPOLLIN, &listener_); !added) return added;
  auto watch = loop_.watch(epoll_.get(), [this] { on_ready(); });
  if (!watch) return tl::unexpected(watch.error());
  watch_ = std::move(*watch);
  return {};
}

Result<> UapiServer::watch_file() {
  inotify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) return fail_errno("make an inotify descriptor");
  const auto directory = std::filesystem::path(path_).parent_path().string();
  if (::inotify_add_watch(inotify_.get(), directory.empty() ? "." : directory.c_str(),
                          IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0)
    return fail_errno("watch the directory " + directory);
  // After the watch: what was removed before is not there now, and what is removed later is seen.
  if (file_ == FileId{} || identify(path_) != file_)
    return fail(path_ + ": somebody has removed it", ENOENT);
  return add_events(inotify_.get(), EPOLLIN, &inotify_);
}

UapiServer::FileId UapiServer::identify(const std::string& path) noexcept {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

Result<> UapiServer::add_events(int fd, std::uint32_t events, void* who) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = who;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return fail_errno("watch a descriptor with epoll");
  return {};
}

void UapiServer::on_ready() {
  std::array<epoll_event, max_clients + 2> events{};
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), /*timeout=*/0);
  bool file_touched = false;
  for (int i = 0; i < count; ++i) {
    void* const who = events[static_cast<std::size_t>(i)].data.ptr;
    if (who == &listener_)
      accept_all();
    else if (who == &inotify_)
      file_touched = true;
    else
      serve(*static_cast<Client*>(who));
  }
  clients_.remove_if([](const Client& client) { return client.dead; });
  if (file_touched) check_file();
}

void UapiServer::check_file() {
  alignas(inotify_event) std::array<char, 4096> events;
  while (::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  if (identify(path_) == file_) return;
  log::info("{} was removed", path_);
  inotify_.close();  // says it once
  handlers_.on_removed();
}

void UapiServer::accept_all() {
  for (std::size_t i = 0; i < max_clients; ++i) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    drop_longest_silent();
    auto& client = clients_.emplace_back();
    client.fd = std::move(fd);
    client.last_heard = loop_.now();
    if (!add_events(client.fd.get(), EPOLLIN, &client)) client.dead = true;
  }
}

/// Where there is no room for another. Events of this round may still name it, so it is only marked.
void UapiServer::drop_longest_silent() {
  std::size_t alive = 0;
  Client* longest = nullptr;
  for (auto& client : clients_) {
    if (client.dead) continue;
    ++alive;
    if (longest == nullptr || client.last_heard < longest->last_heard) longest = &client;
  }
  if (alive < max_clients) return;
  log::debug("{}: dropped the client that was silent for longest", path_);
  longest->dead = true;
  longest->fd.close();
}

/// One request at most: packets get their turn between two of them.
void UapiServer::serve(Client& client) {
  if (client.dead) return;
  if (client.out.empty()) {
    auto length = request_length(client);
    if (length == 0) {
      read_from(client);
      length = request_length(client);
    }
    if (length == 0 || client.dead) return;
    handle(client, std::string_view(client.in).substr(0, length));
    client.in.erase(0, length);
    client.searched = 0;
    if (client.in.empty()) SecretText().swap(client.in);
  }
  write_to(client);
  if (client.dead) return;
  epoll_event event{};
  event.events = client.out.empty() && request_length(client) == 0 ? EPOLLIN : EPOLLOUT;
  event.data.ptr = &client;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.fd.get(), &event);
}

/// Of the request that has come whole; 0 where there is none.
std::size_t UapiServer::request_length(Client& client) const {
  const auto from = client.searched > 0 ? client.searched - 1 : 0;
  const auto length = wireguard::uapi::request_length(std::string_view(client.in).substr(from));
  if (length != 0) return from + length;
  client.searched = client.in.size();
  return 0;
}

void UapiServer::read_from(Client& client) {
  // Read to where it stays, so that no key is left in a buffer between.
  auto& in = client.in;
  const auto before = in.size();
  in.resize(before + read_size);
  const auto size = ::recv(client.fd.get(), in.data() + before, read_size, MSG_DONTWAIT);
  const int error = errno;
  in.resize(before + static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size > 0) client.last_heard = loop_.now();
  if (size < 0 && (error == EAGAIN || error == EINTR)) return;
  if (size <= 0) client.dead = true;  // half a request is none
  if (in.size() <= max_request) return;
  log::warning("{}: dropped a client whose request is longer than {} bytes", path_, max_request);
  client.dead = true;
}

void UapiServer::handle(Client& client, std::string_view request) {
  int error = 0;
  try {
    const auto parsed = wireguard::uapi::parse_request(request, ::if_nametoindex);
    Result<> done;
    if (!parsed)
      done = tl::unexpected(parsed.error());
    else if (const auto* change = std::get_if<DeviceConfig>(&*parsed))
      done = handlers_.set(*change);
    else
      handlers_.get(client.out);
    if (!done) {
      error = done.error().code != 0 ? done.error().code : EIO;
      log::warning("a request on {} failed: {}", path_, done.error().message);
    }
  } catch (const std::bad_alloc&) {
    SecretText().swap(client.out);
    error = ENOMEM;
    log::warning("a request on {} failed: out of memory", path_);
  }
  wireguard::uapi::write_end(client.out, error);
}

void UapiServer::write_to(Client& client) {
  const auto end = std::min(client.out.size(), client.sent + write_size);
  while (client.sent < end) {
    const auto size = ::send(client.fd.get(), client.out.data() + client.sent, end - client.sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      client.dead = errno != EAGAIN;
      return;
    }
    client.sent += static_cast<std::size_t>(size);
    client.last_heard = loop_.now();
  }
  if (client.sent < client.out.size()) return;
  SecretText().swap(client.out);
  client.sent = 0;
}

}  // namespace warren::tunnel
