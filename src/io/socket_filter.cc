#include "io/socket_filter.h"

#include <sys/socket.h>

namespace warren {

bool attach(int fd, std::span<const sock_filter> program) noexcept {
  const sock_fprog all{static_cast<unsigned short>(program.size()),
                       const_cast<sock_filter*>(program.data())};  // the kernel only reads
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) == 0;
}

}  // namespace warren
