#include "bench/initiation_batch.h"

#include <cerrno>

namespace warren::bench {

InitiationBatch::InitiationBatch(int socket, const SocketAddress& to) : socket_(socket), to_(to) {
  for (std::size_t i = 0; i < size; ++i) {
    auto& slot = slots_[i];
    slot.data = {&slot.message, sizeof slot.message};
    auto& header = headers_[i].msg_hdr;
    header.msg_name = to_.get();
    header.msg_namelen = to_.size;
    header.msg_iov = &slot.data;
    header.msg_iovlen = 1;
    header.msg_control = slot.control.data();
    header.msg_controllen = slot.control.size();
    auto* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    slot.source = CMSG_DATA(part);
  }
}

void InitiationBatch::push(const wireguard::Initiation& message, in_addr source) {
  slots_[count_].message = message;
  in_pktinfo info{};
  info.ipi_spec_dst = source;
  std::memcpy(slots_[count_].source, &info, sizeof info);
  ++count_;
}

Result<> InitiationBatch::flush() {
  std::size_t sent = 0;
  while (sent < count_) {
    const auto done =
        ::sendmmsg(socket_, headers_.data() + sent, static_cast<unsigned>(count_ - sent), 0);
    if (done < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    // A refusal is of a datagram that went before, and takes the place of one that is sent.
    if (done < 0 && errno != EINTR && errno != ECONNREFUSED)
      return fail_errno("send initiations (the host must hold the addresses that they come from)");
    sent += done > 0 ? static_cast<std::size_t>(done) : 0;
  }
  count_ = 0;
  return {};
}

}  // namespace warren::bench
