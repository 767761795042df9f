#include "tunnel/vxlan_sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <tuple>

#include "linux/netns.h"
#include "wire/vxlan.h"

namespace warren::tunnel {

using overlay::ReceivedVxlan;

namespace {

// Received at once: with merged datagrams a megabyte, which stays in the cache until it is passed on.
constexpr std::size_t receive_limit = 16;
// In a row, before others get their turn.
constexpr int receive_rounds = 4;

// The sockets that are open, by loop, namespace and port.
using Key = std::tuple<const Loop*, ino_t, std::uint16_t>;
std::mutex opened_mutex;
std::map<Key, std::weak_ptr<VxlanSockets>>& opened() {
  static std::map<Key, std::weak_ptr<VxlanSockets>> all;
  return all;
}

Result<ino_t> this_namespace() {
  const auto fd = open_netns("");
  if (!fd) return tl::unexpected(fd.error());
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0) return fail_errno("look at the network namespace");
  return status.st_ino;
}

// As the kernel's device: what is too large for the way arrives, only slower.
Result<> permit_fragments(const UdpPort& port) {
  const auto refused = [&] {
    return fail_errno(fmt::format("permit fragments of what UDP port {} sends", port.port()));
  };
  const int never_forbid = IP_PMTUDISC_DONT;
  if (::setsockopt(port.socket_for(false), IPPROTO_IP, IP_MTU_DISCOVER, &never_forbid,
                   sizeof never_forbid) != 0)
    return refused();
  const int never_forbid6 = IPV6_PMTUDISC_DONT;
  if (port.socket_for(true) >= 0 &&
      ::setsockopt(port.socket_for(true), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &never_forbid6,
                   sizeof never_forbid6) != 0)
    return refused();
  return {};
}

}  // namespace

Result<std::shared_ptr<VxlanSockets>> VxlanSockets::open(Loop& loop, std::uint16_t port) {
  const auto netns = this_namespace();
  if (!netns) return tl::unexpected(netns.error());
  const std::lock_guard lock(opened_mutex);
  std::erase_if(opened(), [](const auto& entry) { return entry.second.expired(); });
  auto* known = port == 0 ? nullptr : &opened()[{&loop, *netns, port}];
  if (known != nullptr)
    if (auto shared = known->lock()) return shared;
  auto udp = UdpPort::open(port, 0);
  if (!udp) {
    auto error = udp.error();
    if (error.code == EADDRINUSE)
      error.message += "; a VXLAN device of the kernel has it too, and shares it with none of ours";
    return tl::unexpected(error);
  }
  if (auto done = permit_fragments(*udp); !done) return tl::unexpected(done.error());
  std::shared_ptr<VxlanSockets> sockets(new VxlanSockets(loop, std::move(*udp)));
  if (auto done = sockets->watch(); !done) return tl::unexpected(done.error());
  if (known != nullptr) *known = sockets;
  return sockets;
}

Result<UdpPort> VxlanSockets::open_source() {
  auto udp = UdpPort::open(0, 0);
  if (!udp) return udp;
  if (auto done = permit_fragments(*udp); !done) return tl::unexpected(done.error());
  return udp;
}

Result<> VxlanSockets::watch() {
  if (auto done = port_.report_traffic_class(); !done) return done;
  for (const bool ipv6 : {false, true}) {
    const int fd = port_.socket_for(ipv6);
    if (fd < 0) continue;
    auto watch = loop_.watch(fd, [this, fd, ipv6] { on_socket(fd, ipv6); });
    if (!watch) return tl::unexpected(watch.error());
    watches_.push_back(std::move(*watch));
  }
  return {};
}

Result<> VxlanSockets::add(std::uint32_t vni, bool ipv6, Receiver& receiver) {
  const auto same = [&](const Network& network) {
    return network.vni == vni && network.ipv6 == ipv6;
  };
  if (std::ranges::any_of(networks_, same))
    return fail(fmt::format("another VXLAN has VNI {} on UDP port {}; two networks need two "
                            "numbers, or two ports",
                            vni, port_.port()),
                EADDRINUSE);
  networks_.push_back({vni, ipv6, &receiver});
  return {};
}

void VxlanSockets::remove(const Receiver& receiver) noexcept {
  std::erase_if(networks_, [&](const Network& network) { return network.receiver == &receiver; });
}

// The data path.

void VxlanSockets::on_socket(int fd, bool ipv6) noexcept {
  for (int round = 0; round < receive_rounds; ++round) {
    const auto count = received_.receive(fd, receive_limit);
    for (std::size_t i = 0; i < count; ++i)
      sort({received_.data(i), received_.segment_size(i), received_.sender(i).ip,
            received_.traffic_class(i)},
           ipv6);
    deliver_pending();
    if (count < receive_limit) break;
  }
  for (const auto& network : networks_) network.receiver->end_burst();
}

// A datagram that was merged from messages of several networks is cut up where they change.
void VxlanSockets::sort(const ReceivedVxlan& datagram, bool ipv6) noexcept {
  const auto all = datagram.bytes;
  const auto size = datagram.segment_size == 0 ? all.size() : datagram.segment_size;
  const auto message = [&](std::size_t at) {
    return all.subspan(at, std::min(size, all.size() - at));
  };
  std::size_t begin = 0;
  auto* receiver = find(message(0), ipv6);
  for (std::size_t at = size; networks_.size() > 1 && at < all.size(); at += size) {
    auto* next = find(message(at), ipv6);
    if (next == receiver) continue;
    add_pending(receiver, {all.subspan(begin, at - begin), datagram.segment_size, datagram.from,
                           datagram.traffic_class});
    begin = at;
    receiver = next;
  }
  add_pending(receiver,
              {all.subspan(begin), datagram.segment_size, datagram.from, datagram.traffic_class});
}

void VxlanSockets::add_pending(Receiver* receiver, const ReceivedVxlan& datagram) noexcept {
  if (receiver == nullptr) {
    strangers_.packets.add(1);
    strangers_.bytes.add(datagram.bytes.size());
    return strangers_.drop(DropReason::wrong_network);
  }
  if (receiver != pending_for_ || datagrams_.size() == datagrams_.capacity()) deliver_pending();
  pending_for_ = receiver;
  datagrams_.push_back(datagram);
}

void VxlanSockets::deliver_pending() noexcept {
  if (!datagrams_.empty()) pending_for_->receive_datagrams(datagrams_);
  datagrams_.clear();
}

// Where there is one network it gets everything, and says what is wrong with it.
VxlanSockets::Receiver* VxlanSockets::find(std::span<const std::byte> message,
                                           bool ipv6) const noexcept {
  if (networks_.size() == 1 && networks_[0].ipv6 == ipv6) return networks_[0].receiver;
  const auto view = wire::VxlanView::parse(message);
  for (const auto& [vni, of_ipv6, receiver] : networks_)
    if (view && view->vni() == vni && of_ipv6 == ipv6) return receiver;
  return nullptr;
}

}  // namespace warren::tunnel
