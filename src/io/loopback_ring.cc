#include "io/loopback_ring.h"

#include <net/ethernet.h>

#include <array>

#include "linux/kernel_version.h"
#include "linux/netlink.h"
#include "linux/sysctl.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace warren {
namespace {

using wire::Ipv4View;

constexpr std::uint32_t plain_header = 0x45;  // version 4, no options
constexpr std::uint32_t ip_at = ETHER_HDR_LEN;
constexpr std::uint32_t udp_at = ip_at + Ipv4View::min_header_length;

SocketFilter make_filter(std::span<const SocketAddress> addresses, std::uint32_t address_at,
                         std::uint32_t port_at) {
  SocketFilter program;
  const auto load = [&](int size, std::uint32_t at) {
    program.push_back(statement(BPF_LD | BPF_ABS | size, at));
  };
  load(BPF_B, ip_at);
  require(program, plain_header);
  load(BPF_B, ip_at + Ipv4View::protocol_at);
  require(program, wire::ip_protocol::udp);
  load(BPF_H, ip_at + Ipv4View::fragment_word_at);
  program.push_back(
      statement(BPF_ALU | BPF_AND | BPF_K, Ipv4View::more_fragments | Ipv4View::offset_mask));
  require(program, 0);
  load(BPF_H, ip_at + Ipv4View::total_length_at);
  program.push_back(jump(BPF_JGT, PacketRing::max_packet, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, 0));
  for (const auto& address : addresses) {
    load(BPF_W, address_at);
    const auto bytes = std::as_bytes(std::span(address.ip.bytes));
    program.push_back(jump(BPF_JEQ, wire::load32(bytes.data()), 0, 3));
    load(BPF_H, port_at);
    program.push_back(jump(BPF_JEQ, address.port, 0, 1));
    program.push_back(statement(BPF_RET | BPF_K, whole_packet));
  }
  program.push_back(statement(BPF_RET | BPF_K, 0));
  return program;
}

// For a UDP socket. It cannot see that a datagram was put together from fragments; check_device() sees
// to it that those which the ring would take are none.
constexpr std::array beside_ring = {
    statement(BPF_LD | BPF_W | BPF_ABS, ancillary(SKF_AD_IFINDEX)),
    jump(BPF_JEQ, netlink::loopback_index, 0, 5),
    statement(BPF_LD | BPF_B | BPF_ABS, static_cast<std::uint32_t>(SKF_NET_OFF)),
    jump(BPF_JEQ, plain_header, 0, 3),
    statement(BPF_LD | BPF_H | BPF_ABS,
              static_cast<std::uint32_t>(SKF_NET_OFF) + Ipv4View::total_length_at),
    jump(BPF_JGT, PacketRing::max_packet, 1, 0),
    statement(BPF_RET | BPF_K, 0),
    statement(BPF_RET | BPF_K, whole_packet)};

Result<> check_device() {
  // Older ones cannot say of a packet that it is a super-datagram, and keep it from the ring.
  if (!kernel_is_at_least(6, 2))
    return fail("a ring for local programs needs kernel 6.2", EOPNOTSUPP);
  auto netlink = netlink::Socket::open();
  if (!netlink) return tl::unexpected(netlink.error());
  const auto device = netlink->link(netlink::loopback_index);
  if (!device) return tl::unexpected(device.error());
  if (device->mtu < PacketRing::max_packet)
    return fail("the loopback device makes fragments of what a ring would take", EMSGSIZE);
  const auto no_ipsec = sysctl::read("net/ipv4/conf/lo/disable_xfrm");
  if (!no_ipsec) return tl::unexpected(no_ipsec.error());
  if (*no_ipsec != "1") return fail("IPsec is on for the loopback device", EBUSY);
  return {};
}

// As the kernel checks what is for a socket. What never left the machine has no checksum yet.
bool is_sound(const Ipv4View& ip, const wire::UdpView& udp, const OffloadHeader& offload) noexcept {
  if (!wire::is_valid(wire::sum_bytes(ip.header()))) return false;
  if (offload.checksum_pending() || (offload.flags & OffloadHeader::checksum_valid) != 0 ||
      udp.checksum() == 0)
    return true;
  const auto sum =
      wire::sum_pseudo_header4(ip.source().data(), wire::ip_protocol::udp, udp.length());
  return wire::is_valid(sum + wire::sum_bytes(ip.payload().first(udp.length())));
}

}  // namespace

Result<LoopbackRing> LoopbackRing::open(std::span<const SocketAddress> addresses,
                                        std::uint32_t address_at, std::uint32_t port_at) {
  if (auto good = check_device(); !good) return tl::unexpected(good.error());
  auto ring = PacketRing::open({.protocol = ETHERTYPE_IP, .device = netlink::loopback_index},
                               make_filter(addresses, address_at, port_at));
  if (!ring) return tl::unexpected(ring.error());
  return LoopbackRing(std::move(*ring));
}

Result<LoopbackRing> LoopbackRing::to(const SocketAddress& local) {
  return open({&local, 1}, ip_at + Ipv4View::destination_at,
              udp_at + wire::UdpView::destination_at);
}
Result<LoopbackRing> LoopbackRing::from(std::span<const SocketAddress> services) {
  return open(services, ip_at + Ipv4View::source_at, udp_at);
}

bool LoopbackRing::stand_beside(int udp) noexcept { return attach(udp, beside_ring); }

std::optional<LoopbackRing::Datagram> LoopbackRing::next() noexcept {
  while (const auto packet = ring_.next()) {
    const auto ip = Ipv4View::parse(packet->bytes);
    if (!ip) continue;
    const auto udp = wire::UdpView::parse(ip->payload());
    if (!udp || !is_sound(*ip, *udp, packet->offload)) continue;
    const bool segmented = packet->offload.gso_type == OffloadHeader::gso_udp;
    return Datagram{.from = {.ip = ipv4(ip->source()), .port = udp->source_port()},
                    .to = {.ip = ipv4(ip->destination()), .port = udp->destination_port()},
                    .payload = udp->payload(),
                    .segment_size = segmented ? packet->offload.gso_size : std::size_t{0},
                    .room = udp_at + wire::UdpView::header_length};
  }
  return std::nullopt;
}

}  // namespace warren
