#include "carrier/icmp_carrier.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_arp.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "carrier/bpf_link.h"
#include "carrier/detour.h"
#include "carrier/icmp_convert.h"
#include "core/log.h"
#include "linux/mounts.h"

namespace warren::carrier {

namespace {

std::string pins_name() { return fmt::format("icmp-v{}", ICMP_ABI_VERSION); }

std::string life_link(int ifindex) { return fmt::format("link-life-{}", ifindex); }

// Bytes before the IP header on devices of this type, where we know them.
std::optional<std::uint8_t> link_header_of(std::uint16_t type) {
  switch (type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
      return 14;
    case ARPHRD_NONE:  // tun, wireguard
    case ARPHRD_RAWIP:
    case ARPHRD_PPP:
      return 0;
    default:
      return std::nullopt;
  }
}

// A grace period of RCU, in which no processor stays between the guard and the hook of a device. Where the
// kernel can be preempted, a sender can be put aside there, which nothing tells: it is given some time.
void wait_for_packets_in_flight() {
  (void)::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

Result<IcmpCarrier> IcmpCarrier::open() {
  auto pins = BpfPins::open(pins_name(), BpfPins::Access::change);
  if (!pins) return tl::unexpected(pins.error());
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  const bool fresh = !pins->exist();
  auto programs = load_icmp_programs(*pins);
  auto maps = programs ? IcmpMaps::open(*pins) : tl::unexpected(programs.error());
  if (!maps || !*maps) {
    if (fresh)
      if (auto removed = pins->remove_all(); !removed) log::error("{}", removed.error().message);
    if (!maps) return tl::unexpected(maps.error());
    return fail(fmt::format("{}: maps are missing; remove the directory, and start again",
                            pins->directory()),
                ENOENT);
  }
  IcmpCarrier carrier(std::move(*pins), std::move(*socket), std::move(**maps));
  carrier.programs_ = std::move(*programs);
  carrier.changes_ = true;
  if (auto guarded = carrier.guard(); !guarded) return tl::unexpected(guarded.error());
  return carrier;
}

Result<std::optional<IcmpCarrier>> IcmpCarrier::find(BpfPins::Access access) {
  auto pins = BpfPins::open(pins_name(), access);
  if (!pins) return tl::unexpected(pins.error());
  auto maps = IcmpMaps::open(*pins);
  if (!maps) return tl::unexpected(maps.error());
  if (!*maps) return std::optional<IcmpCarrier>{};
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  IcmpCarrier carrier(std::move(*pins), std::move(*socket), std::move(**maps));
  carrier.changes_ = access == BpfPins::Access::change;
  return carrier;
}

IcmpCarrier::~IcmpCarrier() {
  if (!changes_ || maps_.devices.fd() < 0 || !unused()) return;
  if (auto removed = pins_.remove_all(); !removed) log::error("{}", removed.error().message);
}

bool IcmpCarrier::unused() const {
  return maps_.devices.empty() && maps_.servers.empty() && maps_.users.empty();
}

// Local sockets may send through devices that carry nothing: there, the guard drops what should be
// carried.
Result<> IcmpCarrier::guard() {
  const auto link = pins_.get(guard_link);
  if (!link) return tl::unexpected(link.error());
  const auto root = Mounts::of_machine().find("cgroup2");
  if (*link || !root || !programs_->guard) return {};  // state() says what is not guarded
  const Fd cgroup(::open(root->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) return fail_errno(fmt::format("open {}", *root));
  auto made = link_cgroup_egress(programs_->guard.get(), cgroup.get());
  if (!made) return fail_in(fmt::format("guard {}", *root), made.error());
  return pins_.pin(guard_link, made->get());
}

Result<> IcmpCarrier::with_devices(const std::vector<std::string>& devices,
                                   const IcmpDeviceOptions& options,
                                   const std::function<Result<>()>& action) {
  const auto before = this->devices();
  Result<> done;
  for (const auto& device : devices)
    if (done) done = attach(device, options);
  if (done) done = action();
  if (done) return done;
  for (const auto& device : devices)
    if (std::ranges::find(before, device) == before.end())
      if (auto undone = detach(device); !undone) log::debug("{}", undone.error().message);
  return done;
}

Result<> IcmpCarrier::attach(const std::string& device, const IcmpDeviceOptions& options) {
  const auto link = socket_.link(device);
  if (!link) return fail_in("attach the carrier", link.error());
  const auto link_header = link_header_of(link->type);
  if (!link_header)
    return fail(fmt::format("attach the carrier to {}: devices of type {} are not supported; "
                            "Ethernet, tun, WireGuard and PPP are",
                            device, link->type),
                EOPNOTSUPP);
  const auto traits = read_device_traits(*link);
  if (!traits) return tl::unexpected(traits.error());
  const auto current = current_options(link->index);
  const auto checksum =
      options.checksum.value_or(current.checksum.value_or(ChecksumMode::automatic));
  const bool xdp = options.xdp.value_or(current.xdp.value_or(false));
  const bool asked_for = checksum != ChecksumMode::automatic;
  const auto mode = asked_for ? checksum : choose_checksum_mode(*traits).mode;
  const auto index = static_cast<std::uint32_t>(link->index);
  const bool again = maps_.devices.find(index).has_value();
  const auto detour = Detour::make(socket_, link->index);
  if (!detour) return fail_in(fmt::format("attach the carrier to {}", device), detour.error());

  icmp_device entry{};
  entry.detour = static_cast<std::uint32_t>(detour->entrance);
  entry.mtu = link->mtu;
  entry.link_header = *link_header;
  entry.software = mode == ChecksumMode::software;
  // Who asks for software wants every message finished, as it would be on a wire.
  entry.may_be_whole = checksum != ChecksumMode::software && passes_super_packets(*traits) ? 1 : 0;
  entry.asked_for = asked_for ? 1 : 0;
  auto exit = entry;
  exit.detour = 0;
  exit.may_be_whole = 0;
  exit.asked_for = 0;
  exit.exit = index;
  exit.link_header = 14;
  auto done = maps_.devices.put(static_cast<std::uint32_t>(detour->exit), exit);
  if (done) done = attach_programs(*link, detour->exit, xdp, options.tcx);
  // Last: where there is no entry, the guard drops what should be carried.
  if (done) done = maps_.devices.put(index, entry);
  if (done) return forget_vanished();
  if (!again)
    if (auto undone = detach_index(link->index); !undone) log::error("{}", undone.error().message);
  return fail_in(fmt::format("attach the carrier to {}", device), done.error());
}

// An entry is not enough: its device may have vanished, and another one have the index now. Programs go
// with the device that they are attached to.
IcmpDeviceOptions IcmpCarrier::current_options(int ifindex) const {
  const auto entry = maps_.devices.find(static_cast<std::uint32_t>(ifindex));
  if (!entry || entry->closing != 0 ||
      (!attached(pins_, Hook::egress, ifindex) && !attached(pins_, Hook::ingress, ifindex)))
    return {};
  IcmpDeviceOptions options;
  if (entry->asked_for != 0)
    options.checksum = entry->software != 0 ? ChecksumMode::software : ChecksumMode::balance;
  options.xdp = attached(pins_, Hook::xdp, ifindex).has_value();
  return options;
}

int IcmpCarrier::attached_index(const std::string& device) const {
  const auto link = socket_.link(device);
  if (!link) return 0;
  const auto entry = maps_.devices.find(static_cast<std::uint32_t>(link->index));
  return entry && entry->closing == 0 && entry->mtu == link->mtu &&
                 attached(pins_, Hook::egress, link->index)
             ? link->index
             : 0;
}

// Filters of clsact do not tell that their network namespace is gone; links to devices do.
Result<> IcmpCarrier::give_sign_of_life(int exit) {
  const auto name = life_link(exit);
  const auto there = pins_.get(name);
  if (!there) return tl::unexpected(there.error());
  if (*there || !programs_->restore_xdp) return {};
  const auto link = link_generic_xdp(programs_->restore_xdp.get(), exit);
  if (!link) return tl::unexpected(link.error());
  return pins_.pin(name, link->get());
}

Result<> IcmpCarrier::attach_programs(const netlink::Link& link, int exit, bool xdp, Tcx tcx) {
  const auto put = [&](Hook hook, int ifindex, const Fd& program) -> Result<> {
    auto done = carrier::attach(pins_, hook, ifindex, program.get(), tcx);
    if (!done) return tl::unexpected(done.error());
    return {};
  };
  auto done = put(Hook::egress, exit, programs_->carry);
  if (done && attached(pins_, Hook::egress, exit) == Mechanism::clsact)
    done = give_sign_of_life(exit);
  if (done) done = put(Hook::egress, link.index, programs_->carry);
  if (done) done = put(Hook::ingress, link.index, programs_->restore);
  if (!done) return done;
  if (!xdp) return carrier::detach(pins_, Hook::xdp, link.index);
  if (!programs_->restore_xdp) {
    log::warning("no XDP on {}: {}; tc is used", link.name, programs_->why_no_xdp);
  } else if (foreign_xdp(pins_, link.index) != 0) {
    log::warning("another XDP program sits on {}; tc is used", link.name);
  } else if (done = put(Hook::xdp, link.index, programs_->restore_xdp); !done) {
    log::warning("no XDP on {}: {}; tc is used", link.name, done.error().message);
  }
  return {};
}

Result<> IcmpCarrier::detach(const std::string& device) {
  const auto link = socket_.link(device);
  if (!link) return fail_in("detach the carrier", link.error());
  const bool ours = maps_.devices.find(static_cast<std::uint32_t>(link->index)).has_value();
  if (auto done = detach_index(link->index); !done)
    return fail_in(fmt::format("detach the carrier from {}", device), done.error());
  if (!ours) return fail(fmt::format("detach the carrier: {} is not attached", device), ENOENT);
  return {};
}

// The device is closed first, for the guard and at the hook. What is being sent now may have passed the
// guard before, and is to meet the program.
Result<> IcmpCarrier::detach_index(int ifindex) {
  const auto key = static_cast<std::uint32_t>(ifindex);
  Result<> done;
  if (auto entry = maps_.devices.find(key)) {
    entry->closing = 1;
    done = maps_.devices.put(key, *entry);
    if (socket_.link(ifindex)) wait_for_packets_in_flight();
  }
  for (const auto hook : {Hook::xdp, Hook::ingress, Hook::egress})
    if (done) done = carrier::detach(pins_, hook, ifindex);
  const auto all = maps_.devices.all();
  if (!all) return tl::unexpected(all.error());
  for (const auto& [index, device] : *all) {
    if (device.exit != static_cast<std::uint32_t>(ifindex)) continue;
    if (done) done = carrier::detach(pins_, Hook::egress, static_cast<int>(index));
    if (done) done = pins_.remove(life_link(static_cast<int>(index)));
    if (done) done = maps_.devices.erase(index);
  }
  if (done) done = maps_.devices.erase(key);
  if (done) done = Detour::remove(socket_, ifindex);
  return done;
}

Result<> IcmpCarrier::forget_vanished() {
  const auto all = maps_.devices.all();
  if (!all) return tl::unexpected(all.error());
  for (const auto& [index, device] : *all) {
    if (device.exit != 0 || socket_.link(static_cast<int>(index))) continue;
    if (auto done = detach_index(static_cast<int>(index)); !done) return done;
  }
  return {};
}

Result<> IcmpCarrier::remove_everything() {
  const auto servers = this->servers();
  if (!servers) return tl::unexpected(servers.error());
  if (auto done = remove_servers(*servers); !done) return done;
  const auto users = this->users();
  if (!users) return tl::unexpected(users.error());
  if (auto done = remove_users(*users); !done) return done;
  const auto devices = maps_.devices.all();
  if (!devices) return tl::unexpected(devices.error());
  for (const auto& [index, device] : *devices)
    if (device.exit == 0)
      if (auto done = detach_index(static_cast<int>(index)); !done) return done;
  return pins_.remove_all();
}

std::vector<std::string> IcmpCarrier::devices() const {
  std::vector<std::string> names;
  const auto all = maps_.devices.all();
  if (!all) return names;
  for (const auto& [index, device] : *all) {
    if (device.exit != 0) continue;
    if (const auto link = socket_.link(static_cast<int>(index))) names.push_back(link->name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace warren::carrier
