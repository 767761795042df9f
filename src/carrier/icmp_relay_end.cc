#include "carrier/icmp_relay_end.h"

namespace warren::carrier {

Result<> IcmpRelayEnd::open_icmp(IcmpDirection receives, std::span<const Tag> tags) {
  for (const bool ipv6 : {false, true}) {
    auto opened = IcmpSocket::open(ipv6, receives, tags);
    if (!opened && ipv6 && opened.error().code == EAFNOSUPPORT) break;
    if (!opened) return tl::unexpected(opened.error());
    auto& socket = icmp_[ipv6 ? 1 : 0].emplace(std::move(*opened));
    auto watch = loop_.watch(socket.fd(), [this, &socket] { on_messages(socket); });
    if (!watch) return tl::unexpected(watch.error());
    watches_.push_back(std::move(*watch));
  }
  return {};
}

void IcmpRelayEnd::on_messages(const IcmpSocket& socket) noexcept {
  for (int batch = 0; batch < max_batches; ++batch) {
    const auto count = in_.receive(socket.fd());
    for (std::size_t i = 0; i < count; ++i) {
      if (const auto message = socket.read(in_, i))
        restore(socket, *message);
      else
        counters_.damaged.add(1);
    }
    flush_in();
    flush_out();  // answers to pings
    if (count < ReceiveBatch::capacity) break;
    let_receivers_run();
  }
}

void IcmpRelayEnd::write_messages(std::size_t i, const IcmpSocket& socket, const EchoFields& fields,
                                  std::size_t user, const SocketAddress& to,
                                  const IpAddress* from) noexcept {
  auto rest = std::span<const std::byte>(in_.data(i));
  const auto segment = in_.segment_size(i);
  do {
    const auto payload = rest.first(segment == 0 ? rest.size() : std::min(segment, rest.size()));
    rest = rest.subspan(payload.size());
    if (!icmp_out_.fits(2)) flush_out();
    socket.write(icmp_out_, fields, user, to, from, payload);
  } while (!rest.empty());
}

}  // namespace warren::carrier
