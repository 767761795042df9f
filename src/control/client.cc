#include "control/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "control/instance.h"

namespace warren::control {

namespace {

tl::unexpected<Error> explain(const std::string& instance, const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return fail(fmt::format("no instance \"{}\" runs (looked for {}); see `warren status`",
                              instance, path),
                  error);
    case EACCES:
    case EPERM:
      return fail(fmt::format("may not talk to instance \"{}\": run this as root, or as the user "
                              "that started it",
                              instance),
                  error);
    default:
      return fail_errno("connect to " + path, error);
  }
}

}  // namespace

Result<Client> Client::connect(const std::string& instance, std::chrono::milliseconds timeout) {
  if (!valid_instance_name(instance))
    return fail(fmt::format("\"{}\" cannot be the name of an instance", instance));
  return connect_at(socket_path(instance), instance, timeout);
}

Result<Client> Client::connect_at(const std::string& path, const std::string& instance,
                                  std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(fmt::format("{} is too long for a socket", path));
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("make a socket");
  timeval limit{};
  limit.tv_sec = timeout.count() / 1000;
  limit.tv_usec = timeout.count() % 1000 * 1000;
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    if (::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit) != 0)
      return fail_errno("set a time limit");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return explain(instance, path, errno);
  return Client(instance, std::move(fd));
}

Result<std::string> Client::ask(std::string_view request) {
  std::string line(request);
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const auto sent = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(fmt::format("ask instance \"{}\"", instance_));
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  std::array<char, 16384> buffer;
  for (;;) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      auto answer = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return answer;
    }
    const auto size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN)
      return fail(fmt::format("instance \"{}\" does not answer", instance_), ETIMEDOUT);
    if (size < 0) return fail_errno(fmt::format("hear from instance \"{}\"", instance_));
    if (size == 0)
      return fail(fmt::format("instance \"{}\" closed the connection", instance_), ECONNRESET);
    unread_.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace warren::control
