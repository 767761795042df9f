/// How much a socket may hold while nobody reads it or the device is busy.
///
/// Source: socket(7), SO_RCVBUF and SO_RCVBUFFORCE.
#pragma once

namespace warren {

/// 8 MiB in each direction where the caller may (CAP_NET_ADMIN), else as much as the machine allows. A wish: with smaller
/// ones everything works, and more is lost when a burst comes.
void enlarge_buffers(int fd) noexcept;

}  // namespace warren
