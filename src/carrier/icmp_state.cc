// What `list` and `stats` show of the carrier.
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "carrier/detour.h"
#include "carrier/flow_counts.h"
#include "carrier/icmp_carrier.h"
#include "carrier/icmp_convert.h"
#include "carrier/icmp_reasons.h"
#include "linux/mounts.h"

namespace warren::carrier {

namespace {

std::string text_of(std::optional<Mechanism> mechanism) {
  return mechanism ? std::string(mechanism_name(*mechanism)) : std::string{};
}

// The clock of `last_seen`.
std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Result<std::map<std::string, std::uint64_t>> read_drops(int map) {
  const int cpus = ::libbpf_num_possible_cpus();
  if (cpus < 0) return fail_errno("count the processors", -cpus);
  std::map<std::string, std::uint64_t> drops;
  for (std::uint32_t reason = 0; reason < icmp_reasons.size(); ++reason) {
    std::vector<std::uint64_t> counts(static_cast<std::size_t>(cpus));
    if (::bpf_map_lookup_elem(map, &reason, counts.data()) != 0)
      return fail_errno("read the drops");
    auto& sum = drops[std::string(icmp_reasons[reason].name)];
    for (const auto count : counts) sum += count;
  }
  return drops;
}

// `choice`: what would be chosen now.
std::string reason_for(const icmp_device& device, ChecksumMode mode, const ChecksumChoice& choice) {
  if (device.asked_for != 0 && choice.mode == mode)
    return fmt::format("asked for, as it would be by itself: {}", choice.reason);
  if (device.asked_for != 0)
    return fmt::format("asked for; by itself it would be {}: {}", name_of(choice.mode),
                       choice.reason);
  if (choice.mode == mode) return choice.reason;
  return fmt::format("chosen when it was attached; attached again it would be {}: {}",
                     name_of(choice.mode), choice.reason);
}

}  // namespace

IcmpDeviceState IcmpCarrier::device_state(int ifindex, const icmp_device& device) const {
  IcmpDeviceState state;
  state.ifindex = ifindex;
  const auto link = socket_.link(ifindex);
  state.checksum.mode = device.software ? ChecksumMode::software : ChecksumMode::balance;
  if (!link) {
    state.notes.emplace_back(
        "the device has vanished; its flows are closed until it is attached again");
    return state;
  }
  state.name = link->name;
  if (const auto traits = read_device_traits(*link))
    state.checksum.reason = reason_for(device, state.checksum.mode, choose_checksum_mode(*traits));
  state.egress = text_of(attached(pins_, Hook::egress, ifindex));
  state.ingress = text_of(attached(pins_, Hook::ingress, ifindex));
  if (attached(pins_, Hook::xdp, ifindex)) {
    state.ingress = "xdp";
  } else if (foreign_xdp(pins_, ifindex) != 0) {
    state.notes.emplace_back("another XDP program sits there, so tc is used");
  }
  state.whole_flows = whole_flows(static_cast<std::uint32_t>(ifindex));
  if (device.detour != 0) state.detour = Detour::name(ifindex);
  if (device.detour != 0 && !socket_.link(state.detour))
    state.notes.push_back(fmt::format(
        "{} was deleted by somebody: super-packets are dropped; attach the device again",
        state.detour));
  if (device.closing != 0)
    state.notes.emplace_back(
        "its detaching was interrupted, so its flows are closed; attach or detach it again");
  if (state.egress.empty() || state.ingress.empty())
    state.notes.emplace_back("a program of ours was removed by somebody; attach the device again");
  if (state.egress == "clsact")
    state.notes.emplace_back(
        "clsact, because the kernel has no tcx (6.6): whoever deletes the qdisc detaches us");
  return state;
}

std::size_t IcmpCarrier::whole_flows(std::uint32_t ifindex) const {
  const auto all = maps_.wholes.all();
  if (!all) return 0;
  constexpr std::uint64_t clocks_differ_by = 1'000'000'000;
  const auto now = monotonic_ns();
  return static_cast<std::size_t>(std::ranges::count_if(*all, [&](const auto& entry) {
    const auto& [key, whole] = entry;
    return key.ifindex == ifindex && whole.proven != 0 &&
           now < whole.answered + ICMP_WHOLE_HOLDS_NS + clocks_differ_by;
  }));
}

Result<> IcmpCarrier::add_users_state(
    IcmpState& state, const std::vector<std::pair<icmp_user_key, icmp_user>>& users) const {
  const auto sessions = maps_.sessions.all();
  if (!sessions) return tl::unexpected(sessions.error());
  std::map<std::pair<std::uint16_t, std::uint8_t>, std::size_t> at;
  for (const auto& [key, value] : users) {
    at[{key.tag, key.profile}] = state.users.size();
    state.users.push_back({from_map(key, value), value.counts, 0});
  }
  const auto now = monotonic_ns();
  for (const auto& [key, session] : *sessions) {
    const auto found = at.find({session.user.tag, session.user.profile});
    if (found == at.end()) continue;
    auto& user = state.users[found->second];
    const auto age = now > session.last_seen ? now - session.last_seen : 0;
    if (age > user.user.max_age_seconds * 1'000'000'000ULL) continue;
    ++user.sessions;
    ++state.sessions;
  }
  std::ranges::sort(state.users, {}, [](const IcmpState::User& user) { return user.user.name; });
  return {};
}

Result<IcmpState> IcmpCarrier::state() const {
  IcmpState state;
  const auto devices = maps_.devices.all();
  if (!devices) return tl::unexpected(devices.error());
  for (const auto& [index, device] : *devices)
    if (device.exit == 0) state.devices.push_back(device_state(static_cast<int>(index), device));
  std::ranges::sort(state.devices, {}, &IcmpDeviceState::name);
  const auto tables = read_counted_tables(maps_);
  if (!tables) return tl::unexpected(tables.error());
  for (const auto& [key, value] : tables->servers)
    state.servers.emplace_back(from_map(key, value), value.counts);
  std::ranges::sort(state.servers, {}, [](const auto& entry) {
    return std::pair(entry.first.name, entry.first.endpoint());
  });
  if (auto done = add_users_state(state, tables->users); !done) return tl::unexpected(done.error());
  state.session_capacity = maps_.sessions.capacity();
  auto drops = read_drops(maps_.drops.get());
  if (!drops) return tl::unexpected(drops.error());
  state.drops = std::move(*drops);
  const auto guard = pins_.get(guard_link);
  state.guarded = guard && *guard;
  if (!state.guarded)
    state.guard_note = fmt::format(
        "{}: a flow whose packets leave through a device that is not attached, leaves as "
        "plain UDP there",
        Mounts::of_machine().find("cgroup2") ? "the kernel refused the guard"
                                             : "no cgroup v2 is mounted");
  return state;
}

}  // namespace warren::carrier
