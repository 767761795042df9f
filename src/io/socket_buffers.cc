#include "io/socket_buffers.h"

#include <sys/socket.h>

namespace warren {

void enlarge_buffers(int fd) noexcept {
  static constexpr int size = 8 << 20;
  const auto set = [fd](int forced, int ordinary) {
    if (::setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0)
      ::setsockopt(fd, SOL_SOCKET, ordinary, &size, sizeof size);
  };
  set(SO_RCVBUFFORCE, SO_RCVBUF);
  set(SO_SNDBUFFORCE, SO_SNDBUF);
}

}  // namespace warren
