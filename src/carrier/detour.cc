#include "carrier/detour.h"

#include <fmt/format.h>

#include "core/log.h"

namespace warren::carrier {

namespace {

constexpr std::uint32_t largest_mtu = 65535;

std::string exit_name(int ifindex) { return Detour::name(ifindex) + "a"; }
std::string end_name(int ifindex) { return Detour::name(ifindex) + "b"; }

Result<> build(netlink::Socket& socket, int ifindex) {
  const auto entrance = Detour::name(ifindex);
  const auto exit = exit_name(ifindex);
  const auto end = end_name(ifindex);
  Result<> done = socket.create_veth({.name = exit, .peer_name = end, .mtu = largest_mtu});
  const auto step = [&](auto&& action) {
    if (done) done = action();
  };
  step([&] {
    return socket.create_macvlan({.name = entrance,
                                  .lower = exit,
                                  .mtu = largest_mtu,
                                  .gso_max_segments = 1,
                                  .gso_max_size = 1500});
  });
  for (const auto& name : {exit, end, entrance}) {
    // Where the kernel has no IPv6, there is nothing to keep away.
    step([&]() -> Result<> {
      if (const auto quiet = socket.set_no_ipv6_address(name); !quiet)
        log::debug("{}", quiet.error().message);
      return {};
    });
    step([&] { return socket.set_up(name, true); });
  }
  return done;
}

bool is_whole(netlink::Socket& socket, int ifindex) {
  for (const auto& name : {exit_name(ifindex), end_name(ifindex), Detour::name(ifindex)}) {
    const auto link = socket.link(name);
    if (!link || !link->up) return false;
  }
  return true;
}

}  // namespace

std::string Detour::name(int ifindex) { return fmt::format("wc{}", ifindex); }

Result<Detour> Detour::make(netlink::Socket& socket, int ifindex) {
  if (!is_whole(socket, ifindex)) {
    if (auto removed = remove(socket, ifindex); !removed) return tl::unexpected(removed.error());
    if (auto built = build(socket, ifindex); !built) {
      if (auto removed = remove(socket, ifindex); !removed)
        log::error("{}", removed.error().message);
      return fail_in("make the detour for super-packets", built.error());
    }
  }
  const auto entrance = socket.index(name(ifindex));
  if (!entrance) return tl::unexpected(entrance.error());
  const auto exit = socket.index(exit_name(ifindex));
  if (!exit) return tl::unexpected(exit.error());
  return Detour{*entrance, *exit};
}

Result<> Detour::remove(netlink::Socket& socket, int ifindex) {
  // The other end and the macvlan go with it.
  auto done = socket.delete_link(exit_name(ifindex));
  if (!done && done.error().code != ENODEV) return done;
  return {};
}

}  // namespace warren::carrier
