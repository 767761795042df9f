#include "linux/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

namespace warren {

namespace {

constexpr std::size_t max_path = sizeof(sockaddr_un{}.sun_path) - 1;

std::optional<sockaddr_un> address_of(const std::string& path) {
  if (path.size() > max_path) return std::nullopt;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

Result<Fd> listen_unix(const std::string& path, int backlog) {
  const auto address = address_of(path);
  if (!address)
    return fail(
        fmt::format("{}: longer than the {} bytes that a socket's path may have", path, max_path),
        ENAMETOOLONG);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("make the socket " + path);
  // bind() gives the file the mode of the socket: there is no moment at which others could connect.
  if (::fchmod(fd.get(), 0600) != 0) return fail_errno("set the mode of the socket " + path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    return fail_errno("make the socket " + path);
  if (::listen(fd.get(), backlog) != 0) return fail_errno("listen on " + path);
  return fd;
}

bool answers_unix(const std::string& path) noexcept {
  const auto address = address_of(path);
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!address || !fd) return false;
  // EAGAIN: it listens, and has many callers.
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0 ||
         errno == EAGAIN;
}

}  // namespace warren
