/// Initiations on their way out, many in one system call, each from an address of its own.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include <warren/result.h>

#include "bench/socket_address.h"
#include "wireguard/messages.h"

namespace warren::bench {

class InitiationBatch {
 public:
  static constexpr std::size_t size = 64;

  /// `socket`: UDP, and outlives the batch.
  InitiationBatch(int socket, const SocketAddress& to);
  InitiationBatch(const InitiationBatch&) = delete;
  InitiationBatch& operator=(const InitiationBatch&) = delete;

  [[nodiscard]] bool full() const { return count_ == size; }
  /// Where there is room. `source`: an address that the host holds; INADDR_ANY leaves the choice to
  /// the kernel.
  void push(const wireguard::Initiation& message, in_addr source = {});
  /// What the socket has no room for is lost, as on a wire.
  Result<> flush();

 private:
  struct Slot {
    wireguard::Initiation message;
    iovec data{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    unsigned char* source = nullptr;  ///< the in_pktinfo in `control`
  };

  int socket_;
  SocketAddress to_;
  std::size_t count_ = 0;
  std::array<Slot, size> slots_;
  std::array<mmsghdr, size> headers_{};
};

}  // namespace warren::bench
