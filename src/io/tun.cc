#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>

#include <warren/offload_header.h>
#include <warren/tun.h>

#include "linux/netlink.h"
#include "linux/netns.h"

#ifndef TUN_F_USO4  // kernel 6.2; Debian 12's headers are older
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace warren {

namespace {

constexpr const char* tun_path = "/dev/net/tun";

/// The kernel's name and flags of the device behind a descriptor.
Result<ifreq> query(int fd) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0)
    return fail_errno("ask which TUN device the descriptor is attached to");
  return request;
}

Result<> check(const TunConfig& config) {
  if (config.name.size() >= IFNAMSIZ)
    return fail(fmt::format("device name \"{}\" is {} bytes long; the kernel takes at most {}",
                            config.name, config.name.size(), IFNAMSIZ - 1),
                ENAMETOOLONG);
  if (config.name.find('/') != std::string::npos || config.name == "." || config.name == "..")
    return fail(fmt::format("\"{}\" cannot be a device name", config.name), EINVAL);
  if (config.queues == 0 || config.queues > 256)
    return fail(fmt::format("{}: a device has 1 to 256 queues, not {}", config.name, config.queues),
                EINVAL);
  if (config.mac && config.mode != TunMode::tap)
    return fail(fmt::format("{}: only a TAP device has a MAC address", config.name), EINVAL);
  return {};
}

Result<Fd> open_clone_device() {
  Fd fd{::open(tun_path, O_RDWR | O_CLOEXEC | O_NONBLOCK)};
  if (fd) return fd;
  const int code = errno;
  std::string hint;
  if (code == ENOENT || code == ENXIO || code == ENODEV)
    hint = "; load the driver with: modprobe tun (in a container, pass --device /dev/net/tun)";
  if (code == EACCES || code == EPERM) hint = "; run as root or with CAP_NET_ADMIN";
  return fail(fmt::format("open {}: {}{}", tun_path, std::strerror(code), hint), code);
}

tl::unexpected<Error> attach_error(const std::string& name, int code) {
  const char* hint = "";
  switch (code) {
    case EPERM:
      hint = "; run as root or with CAP_NET_ADMIN, or attach to a device that you own (ip tuntap)";
      break;
    case EBUSY:
      hint = "; another program has the device open: stop it, or take another name";
      break;
    case EINVAL:
      hint = "; the name belongs to a device of another kind or with another number of queues";
      break;
    default:
      break;
  }
  return fail(fmt::format("make TUN device {}: {}{}", name.empty() ? "(any name)" : name,
                          std::strerror(code), hint),
              code);
}

/// Opens one queue of the device, in the calling thread's namespace. `name` becomes the kernel's.
Result<Fd> open_queue(std::string& name, const TunConfig& config) {
  auto fd = open_clone_device();
  if (!fd) return fd;
  unsigned flags = IFF_NO_PI;
  flags |= config.mode == TunMode::tap ? unsigned{IFF_TAP} : unsigned{IFF_TUN};
  if (config.offload) flags |= IFF_VNET_HDR;
  if (config.queues > 1) flags |= IFF_MULTI_QUEUE;
  ifreq request{};
  request.ifr_flags = static_cast<short>(flags);
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(fd->get(), TUNSETIFF, &request) != 0) return attach_error(name, errno);
  name = request.ifr_name;
  return fd;
}

/// Tells the kernel what may be left undone in the packets that it hands us: the most that it
/// agrees to. Kernels before 6.2 have no UDP segmentation.
Result<TunOffloads> negotiate(int fd, const std::string& name) {
  const int header_size = sizeof(OffloadHeader);
  if (::ioctl(fd, TUNSETVNETHDRSZ, &header_size) != 0)
    return fail_errno(fmt::format("set the offload header of {} to {} bytes", name, header_size));
  constexpr unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  TunOffloads offloads{.header = true};
  if (::ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0) {
    offloads.checksum = offloads.tso4 = offloads.tso6 = offloads.uso = true;
  } else if (::ioctl(fd, TUNSETOFFLOAD, tcp) == 0) {
    offloads.checksum = offloads.tso4 = offloads.tso6 = true;
  } else if (::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM) == 0) {
    offloads.checksum = true;
  }
  return offloads;
}

Result<> set_ids(int fd, const TunConfig& config) {
  if (config.owner && ::ioctl(fd, TUNSETOWNER, static_cast<unsigned long>(*config.owner)) != 0)
    return fail_errno(fmt::format("give {} to user {}", config.name, *config.owner));
  if (config.group && ::ioctl(fd, TUNSETGROUP, static_cast<unsigned long>(*config.group)) != 0)
    return fail_errno(fmt::format("give {} to group {}", config.name, *config.group));
  return {};
}

Result<> already_there_is_fine(Result<> done) {
  return done || done.error().code != EEXIST ? done : Result<>{};
}

}  // namespace

Result<Tun> Tun::open(const TunConfig& config) {
  if (auto good = check(config); !good) return tl::unexpected(good.error());
  Tun tun;
  tun.mode_ = config.mode;
  {
    const auto scope = NetnsScope::enter(config.netns);
    if (!scope) return tl::unexpected(scope.error());
    std::string name = config.name;
    for (unsigned i = 0; i < config.queues; ++i) {
      auto queue = open_queue(name, config);
      if (!queue) return tl::unexpected(queue.error());
      tun.queues_.push_back(std::move(*queue));
    }
  }
  if (config.offload) {
    auto offloads = negotiate(tun.fd(), tun.name());
    if (!offloads) return tl::unexpected(offloads.error());
    tun.offloads_ = *offloads;
  } else {
    (void)::ioctl(tun.fd(), TUNSETOFFLOAD, 0UL);  // what an earlier owner of the device had set
  }
  if (auto done = tun.configure(config); !done) return tl::unexpected(done.error());
  return tun;
}

Result<> Tun::configure(const TunConfig& config) {
  Result<> done = set_ids(fd(), config);
  const auto step = [&](bool wanted, auto&& action) {
    if (done && wanted) done = action();
  };
  step(config.mtu.has_value(), [&] { return set_mtu(*config.mtu); });
  step(config.mac.has_value(), [&] { return set_mac(*config.mac); });
  step(config.tx_queue_length.has_value(),
       [&] { return set_tx_queue_length(*config.tx_queue_length); });
  for (const auto& address : config.addresses)
    step(true, [&] { return already_there_is_fine(add_address(address)); });
  step(config.up, [&] { return set_up(true); });
  for (const auto& route : config.routes) step(true, [&] { return add_route(route); });
  // Last, so that a device that failed on the way is gone with its descriptors.
  step(config.persist, [&] { return set_persist(true); });
  return done;
}

Result<Tun> Tun::adopt(Fd fd, bool offload) {
  const auto device = query(fd.get());
  if (!device) return tl::unexpected(device.error());
  const auto flags = static_cast<unsigned>(device->ifr_flags);
  Tun tun;
  tun.mode_ = (flags & IFF_TAP) != 0 ? TunMode::tap : TunMode::tun;
  const std::string name = device->ifr_name;
  if ((flags & IFF_NO_PI) == 0)
    return fail(
        fmt::format("adopt {}: its packets have the old 4-byte header; set IFF_NO_PI", name),
        EINVAL);
  if (offload && (flags & IFF_VNET_HDR) == 0)
    return fail(fmt::format("adopt {} with offload: it was opened without IFF_VNET_HDR", name),
                EINVAL);
  const int status = ::fcntl(fd.get(), F_GETFL);
  if (status < 0 || ::fcntl(fd.get(), F_SETFL, status | O_NONBLOCK) != 0 ||
      ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0)
    return fail_errno(fmt::format("adopt {}", name));
  if ((flags & IFF_VNET_HDR) != 0) {
    auto offloads = negotiate(fd.get(), name);
    if (!offloads) return tl::unexpected(offloads.error());
    if (!offload && ::ioctl(fd.get(), TUNSETOFFLOAD, 0UL) == 0) *offloads = {.header = true};
    tun.offloads_ = *offloads;
  }
  tun.queues_.push_back(std::move(fd));
  return tun;
}

std::string Tun::name() const {
  const auto device = query(fd());
  return device ? device->ifr_name : "(gone)";
}

template <class Action>
auto Tun::with_netlink(Action&& action) const
    -> decltype(action(std::declval<netlink::Socket&>(), std::string_view{})) {
  const auto where = netns();
  if (!where) return tl::unexpected(where.error());
  auto socket = netlink::Socket::open(where->get());
  if (!socket) return tl::unexpected(socket.error());
  return action(*socket, name());
}

Result<Fd> Tun::netns() const {
  Fd netns{::ioctl(fd(), TUNGETDEVNETNS)};
  if (!netns) return fail_errno(fmt::format("find the network namespace of {}", name()));
  return netns;
}

Result<std::uint32_t> Tun::mtu() const {
  return with_netlink([](auto& socket, std::string_view name) {
    return socket.link(name).map([](const netlink::Link& link) { return link.mtu; });
  });
}
Result<std::vector<IpPrefix>> Tun::addresses() const {
  return with_netlink([](auto& socket, std::string_view name) { return socket.addresses(name); });
}
Result<> Tun::set_mtu(std::uint32_t mtu) {
  return with_netlink(
      [&](auto& socket, std::string_view name) { return socket.set_mtu(name, mtu); });
}
Result<> Tun::set_mac(const MacAddress& mac) {
  return with_netlink(
      [&](auto& socket, std::string_view name) { return socket.set_mac(name, mac); });
}
Result<> Tun::set_tx_queue_length(std::uint32_t packets) {
  return with_netlink([&](auto& socket, std::string_view name) {
    return socket.set_tx_queue_length(name, packets);
  });
}
Result<> Tun::set_up(bool up) {
  return with_netlink([&](auto& socket, std::string_view name) { return socket.set_up(name, up); });
}
Result<> Tun::add_address(const IpPrefix& address) {
  return with_netlink(
      [&](auto& socket, std::string_view name) { return socket.add_address(name, address); });
}
Result<> Tun::remove_address(const IpPrefix& address) {
  return with_netlink(
      [&](auto& socket, std::string_view name) { return socket.remove_address(name, address); });
}
Result<> Tun::add_route(const Route& route) {
  return with_netlink([&](auto& socket, std::string_view name) {
    return already_there_is_fine(socket.add_route(name, route));
  });
}
Result<> Tun::remove_route(const Route& route) {
  return with_netlink(
      [&](auto& socket, std::string_view name) { return socket.remove_route(name, route); });
}

Result<> Tun::set_persist(bool persist) {
  if (::ioctl(fd(), TUNSETPERSIST, persist ? 1UL : 0UL) != 0)
    return fail_errno(fmt::format("make {} {}", name(), persist ? "persistent" : "temporary"));
  return {};
}

}  // namespace warren
