#include "carrier/icmp_relay_end.h"

#include <time.h>

#include "core/log.h"

namespace warren::carrier {
namespace {

// A message that arrives while the relay waits for one wakes it up, and takes the processor from
// whoever is at work, such as the relay that sends. Where messages come in numbers it looks again
// after a moment: on two busy cores a third more of them arrived than without the pause.
void let_messages_gather() noexcept {
  constexpr timespec moment{.tv_sec = 0, .tv_nsec = 200'000};
  ::nanosleep(&moment, nullptr);
}

}  // namespace

Result<> IcmpRelayEnd::open_icmp(IcmpDirection receives, std::span<const Tag> tags) {
  auto frames = open_packet_socket();
  if (frames)
    frames_ = std::move(*frames);
  else
    log::info("{}; each message goes through the raw socket", frames.error().message);
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
    if (count == 0)
      while (read_sent_frame(socket.fd(), sample_)) continue;  // of samples that came too late
    for (std::size_t i = 0; i < count; ++i) take(socket, socket.read(in_, i));
    flush_in();
    flush_out();  // answers to pings
    if (count < ReceiveBatch::capacity) break;
    let_receivers_run();
  }
}

void IcmpRelayEnd::take(const IcmpSocket& socket,
                        const std::optional<EchoMessage>& message) noexcept {
  if (message)
    restore(socket, *message);
  else
    counters_.damaged.add(1);
}

void IcmpRelayEnd::start_ring(IcmpDirection receives, std::span<const Tag> tags) {
  auto started = open_ring(receives, tags);
  if (started) started = icmp_[0]->stand_beside_ring(true);
  if (!started) {
    close_ring(started.error().message);
    return;
  }
  auto dropped = EchoDiverter::drop_what_ring_has(receives, tags);
  if (dropped)
    ring_has_.emplace(std::move(*dropped));
  else
    log::debug("{}", dropped.error().message);  // the raw socket refuses it in the end
}

void IcmpRelayEnd::leave_ring(std::string_view why) noexcept {
  if (auto done = icmp_[0]->stand_beside_ring(false); !done) {
    log::warning("{}, but messages still come through a ring: {}", why, done.error().message);
    return;
  }
  close_ring(why);
}

// A ring sees packets as they arrive: of IPsec in transport mode only what is encrypted.
Result<> IcmpRelayEnd::watch_ipsec() {
  auto policies = IpsecPolicies::watch();
  if (!policies && policies.error().code == EPROTONOSUPPORT) return {};  // the kernel has none
  if (!policies) return tl::unexpected(policies.error());
  if (policies->were_there()) return fail("this machine has IPsec policies", EBUSY);
  policies_.emplace(std::move(*policies));
  auto watch = loop_.watch(policies_->fd(), [this] { on_policies(); });
  if (!watch) return tl::unexpected(watch.error());
  policies_watch_ = std::move(*watch);
  return {};
}

Result<> IcmpRelayEnd::open_ring(IcmpDirection receives, std::span<const Tag> tags) {
  if (auto watched = watch_ipsec(); !watched) return watched;
  auto ring = IcmpSocket::open_ring(receives, tags);
  if (!ring) return tl::unexpected(ring.error());
  ring_.emplace(std::move(*ring));
  auto watch = loop_.watch(ring_->fd(), [this] { on_ring(); });
  if (!watch) return tl::unexpected(watch.error());
  ring_watch_ = std::move(*watch);
  return {};
}

void IcmpRelayEnd::on_policies() noexcept {
  if (policies_->take_added() && ring_) leave_ring("this machine has IPsec policies now");
}

void IcmpRelayEnd::close_ring(std::string_view why) noexcept {
  ring_has_.reset();
  // What is still in there.
  for (std::size_t i = 0; ring_ && i < PacketRing::capacity; i += ReceiveBatch::capacity)
    if (!take_from_ring()) break;
  ring_watch_.reset();
  ring_.reset();
  log::info("{}; all messages come through raw sockets", why);
}

void IcmpRelayEnd::on_ring() noexcept {
  for (int batch = 0; batch < max_batches; ++batch) {
    if (!take_from_ring()) return;
    let_receivers_run();
  }
}

// True where there may be more.
bool IcmpRelayEnd::take_from_ring() noexcept {
  const auto& socket = *icmp_[0];
  std::size_t count = 0;
  for (; count < ReceiveBatch::capacity; ++count) {
    const auto packet = ring_->next();
    if (!packet) break;
    take(socket, socket.read_packet(packet->bytes));
  }
  counters_.ring.add(count);
  flush_in();
  flush_out();  // answers to pings
  ring_->release();
  counters_.overrun.add(ring_->take_overruns());
  if (count == ReceiveBatch::capacity) return true;
  if (count > 1) let_messages_gather();
  return false;
}

Result<> IcmpRelayEnd::use_loopback_ring(Result<LoopbackRing> ring) {
  if (!ring) {
    log::debug("{}; datagrams of local programs come through sockets", ring.error().message);
    return {};
  }
  auto watch = loop_.watch(ring->fd(), [this] { on_loopback_ring(); });
  if (!watch) return tl::unexpected(watch.error());
  loopback_ring_.emplace(std::move(*ring));
  loopback_ring_watch_ = std::move(*watch);
  return {};
}

void IcmpRelayEnd::on_loopback_ring() noexcept {
  auto& ring = *loopback_ring_;
  for (int batch = 0; batch < max_batches; ++batch) {
    std::size_t count = 0;
    for (; count < ReceiveBatch::capacity; ++count) {
      const auto datagram = ring.next();
      if (!datagram) break;
      carry(*datagram);
    }
    flush_out();
    ring.release();
    counters_.overrun.add(ring.take_overruns());
    if (count == 0) ring.forget_error();
    if (count < ReceiveBatch::capacity) break;
  }
}

LoopbackRing::Datagram IcmpRelayEnd::received(std::size_t i) noexcept {
  return {.payload = in_.data(i), .segment_size = in_.segment_size(i)};
}

// Where there are several, the first is in front of the second.
void IcmpRelayEnd::write_messages(const LoopbackRing::Datagram& datagram, const IcmpSocket& socket,
                                  const EchoTarget& target, IcmpShortcut& shortcut) noexcept {
  auto rest = datagram.payload;
  if (datagram.segment_size == 0 || datagram.segment_size >= rest.size()) {
    write_message(socket, target, shortcut, rest, datagram.room);
    return;
  }
  while (!rest.empty()) {
    const auto payload = rest.first(std::min(datagram.segment_size, rest.size()));
    rest = rest.subspan(payload.size());
    write_message(socket, target, shortcut, payload, 0);
  }
}

void IcmpRelayEnd::write_message(const IcmpSocket& socket, const EchoTarget& target,
                                 IcmpShortcut& shortcut, std::span<const std::byte> payload,
                                 std::size_t room) noexcept {
  using Way = IcmpShortcut::Way;
  if (!icmp_out_.fits(2)) flush_out();
  const auto way = frames_ ? shortcut.choose(payload.size(), loop_.now(), epoch_) : Way::socket;
  if (way == Way::frame)
    shortcut.write(icmp_out_, frames_.get(), target.fields, socket.tag(target.user), payload, room);
  else if (way == Way::socket)
    socket.write(icmp_out_, target, payload);
  else
    send_sample(socket, target, shortcut, payload);
}

void IcmpRelayEnd::send_sample(const IcmpSocket& socket, const EchoTarget& target,
                               IcmpShortcut& shortcut,
                               std::span<const std::byte> payload) noexcept {
  flush_out();
  // Of a packet that passes several devices (VLAN, bridge) there is a frame for each, and the first is
  // the one that goes all the way: what is left of former samples would be taken for it.
  while (read_sent_frame(socket.fd(), sample_)) continue;
  socket.write(icmp_out_, target, payload, true);
  flush_out();
  // Older samples may have waited for a neighbour.
  while (const auto frame = read_sent_frame(socket.fd(), sample_))
    if (shortcut.learn(*frame, target.fields, socket.tag(target.user), target.to.ip,
                       payload.size()))
      return;
  shortcut.refuse(payload.size());
}

void IcmpRelayEnd::flush_out() noexcept {
  const auto outcome = icmp_out_.flush();
  counters_.add_out(outcome);
  if (outcome.frames_refused != 0) ++epoch_;
}

}  // namespace warren::carrier
