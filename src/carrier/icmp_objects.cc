#include "carrier/icmp_objects.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <icmp_carrier.skel.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "carrier/attach.h"
#include "carrier/bpf_link.h"
#include "carrier/icmp_constants.h"
#include "carrier/libbpf_words.h"
#include "core/log.h"

namespace warren::carrier {

namespace {

struct Close {
  void operator()(icmp_carrier_bpf* skeleton) const { icmp_carrier_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<icmp_carrier_bpf, Close>;

// Which build the programs are of.
std::uint64_t content() {
  std::size_t size = 0;
  const auto* bytes = static_cast<const unsigned char*>(icmp_carrier_bpf__elf_bytes(&size));
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

std::string program_name(std::string_view program) {
  return fmt::format("program-{:016x}-{}", content(), program);
}

// The table of sessions is allocated at once: a 128th of the memory, within bounds.
std::uint32_t session_capacity() {
  constexpr std::uint64_t bytes_each = 128;
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return 16384;
  const std::uint64_t memory = std::uint64_t{info.totalram} * info.mem_unit;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(memory / 128 / bytes_each, 4096, 1 << 17));
}

Result<> reuse_maps(const BpfPins& pins, bpf_object* object) {
  bpf_map* map = nullptr;
  while ((map = ::bpf_object__next_map(object, map)) != nullptr) {
    if (::bpf_map__is_internal(map)) continue;
    const std::string name = ::bpf_map__name(map);
    auto pinned = pins.get("map-" + name);
    if (!pinned) return tl::unexpected(pinned.error());
    if (*pinned) {
      // The library duplicates the descriptor.
      if (const int error = ::bpf_map__reuse_fd(map, pinned->get()); error != 0)
        return fail_errno(fmt::format("reuse the map {}", name), -error);
    } else if (name == "sessions") {
      ::bpf_map__set_max_entries(map, session_capacity());
    }
  }
  return {};
}

Result<> pin_maps(BpfPins& pins, bpf_object* object) {
  bpf_map* map = nullptr;
  while ((map = ::bpf_object__next_map(object, map)) != nullptr) {
    if (::bpf_map__is_internal(map)) continue;
    const auto name = fmt::format("map-{}", ::bpf_map__name(map));
    const auto pinned = pins.get(name);
    if (!pinned) return tl::unexpected(pinned.error());
    if (*pinned) continue;
    if (auto done = pins.pin(name, ::bpf_map__fd(map)); !done) return done;
  }
  return {};
}

// One try; programs in `without` are left out.
Result<Skeleton> load(const BpfPins& pins, const std::vector<const char*>& without) {
  const LibbpfWords listen;
  Skeleton skeleton(icmp_carrier_bpf__open());
  Result<> done;
  if (!skeleton) done = fail_errno("open the kernel programs");
  if (done) {
    set_constants(*skeleton, pins.netns_cookie());
    for (const auto* name : without)
      if (auto* program = ::bpf_object__find_program_by_name(skeleton->obj, name))
        ::bpf_program__set_autoload(program, false);
    done = reuse_maps(pins, skeleton->obj);
  }
  if (done)
    if (const int error = icmp_carrier_bpf__load(skeleton.get()); error != 0)
      done = fail_errno("load the kernel programs", -error);
  if (!done) return tl::unexpected(done.error());
  return skeleton;
}

Error explain(const Error& error) {
  log::debug("{}", LibbpfWords::all());
  const auto hint =
      error.code == EPERM
          ? "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
          : "the carrier needs kernel 6.1 with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF and "
            "CONFIG_DEBUG_INFO_BTF; `warren doctor` says what is missing";
  return {fmt::format("{} ({}); {}", error.message, LibbpfWords::last(), hint), error.code};
}

// The skeleton closes its own.
Fd duplicate(const Skeleton& skeleton, const char* name) {
  const auto* program = ::bpf_object__find_program_by_name(skeleton->obj, name);
  const int fd = program == nullptr ? -1 : ::bpf_program__fd(program);
  return Fd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

struct Named {
  const char* name;
  Fd IcmpPrograms::* program;
};
constexpr std::array<Named, 4> all_programs = {{{"carry", &IcmpPrograms::carry},
                                                {"restore", &IcmpPrograms::restore},
                                                {"restore_xdp", &IcmpPrograms::restore_xdp},
                                                {"guard", &IcmpPrograms::guard}}};

// XDP and the guard are not in every kernel; the others are needed.
Result<IcmpPrograms> load_new(BpfPins& pins) {
  IcmpPrograms programs;
  auto skeleton = load(pins, {});
  if (!skeleton && skeleton.error().code != EPERM) {
    const auto why = explain(skeleton.error()).message;
    const std::vector<std::vector<const char*>> less = {
        {"restore_xdp"}, {"guard"}, {"guard", "restore_xdp"}};
    for (const auto& without : less) {
      skeleton = load(pins, without);
      if (!skeleton) continue;
      for (const auto* name : without)
        (std::string_view(name) == "guard" ? programs.why_no_guard : programs.why_no_xdp) = why;
      break;
    }
  }
  if (!skeleton) return tl::unexpected(explain(skeleton.error()));
  if (auto pinned = pin_maps(pins, (*skeleton)->obj); !pinned)
    return tl::unexpected(pinned.error());
  for (const auto& each : all_programs) programs.*each.program = duplicate(*skeleton, each.name);
  return programs;
}

Result<IcmpPrograms> find_pinned(const BpfPins& pins) {
  IcmpPrograms programs;
  for (const auto& each : all_programs) {
    auto fd = pins.get(program_name(each.name));
    if (!fd) return tl::unexpected(fd.error());
    programs.*each.program = std::move(*fd);
  }
  return programs;
}

Result<> replace_attached(BpfPins& pins, const IcmpPrograms& programs) {
  for (const auto& [hook, program] : {std::pair{Hook::egress, &programs.carry},
                                      {Hook::ingress, &programs.restore},
                                      {Hook::xdp, &programs.restore_xdp}})
    for (const int ifindex : attached_devices(pins, hook))
      if (*program && attached(pins, hook, ifindex))
        if (auto done = attach(pins, hook, ifindex, program->get()); !done)
          return tl::unexpected(done.error());
  const auto guard = pins.get(guard_link);
  if (!guard) return tl::unexpected(guard.error());
  if (*guard && programs.guard) return update_link(guard->get(), programs.guard.get());
  return {};
}

}  // namespace

Result<IcmpPrograms> load_icmp_programs(BpfPins& pins) {
  auto pinned = find_pinned(pins);
  if (!pinned || (pinned->carry && pinned->restore)) {
    if (pinned && !pinned->restore_xdp) pinned->why_no_xdp = "the kernel refused the program";
    if (pinned && !pinned->guard) pinned->why_no_guard = "the kernel refused the program";
    return pinned;
  }
  const auto former = pins.names("program-");
  auto programs = load_new(pins);
  if (!programs) return programs;
  if (auto replaced = replace_attached(pins, *programs); !replaced)
    return tl::unexpected(replaced.error());
  for (const auto& each : all_programs)
    if (const auto& fd = (*programs).*each.program)
      if (auto done = pins.replace(program_name(each.name), fd.get()); !done)
        return tl::unexpected(done.error());
  for (const auto& name : former)
    if (auto done = pins.remove(name); !done) return tl::unexpected(done.error());
  return programs;
}

Result<std::optional<IcmpMaps>> IcmpMaps::open(const BpfPins& pins) {
  Result<> done;
  bool missing = false;
  const auto get = [&](const char* name) -> Fd {
    if (!done || missing) return {};
    auto fd = pins.get(fmt::format("map-{}", name));
    if (!fd) done = tl::unexpected(fd.error());
    missing = fd && !*fd;
    return fd ? std::move(*fd) : Fd{};
  };
  IcmpMaps maps;
  maps.devices = DeviceTable(get("devices"));
  maps.servers = CachedMap<icmp_server_key, icmp_server>(get("servers"), get("generation"));
  maps.replies = CachedMap<icmp_reply_key, icmp_reply>(get("replies"), get("generation"));
  maps.users = CachedMap<icmp_user_key, icmp_user>(get("users"), get("generation"));
  maps.ports = BpfMap<std::uint32_t, icmp_ports>(get("ports"));
  maps.sessions = BpfMap<icmp_session_key, icmp_session>(get("sessions"));
  maps.wholes = BpfMap<icmp_whole_key, icmp_whole>(get("wholes"));
  maps.cache = FlowCache(get("cache"), get("generation"));
  maps.drops = get("drops");
  if (!done) return tl::unexpected(done.error());
  if (missing) return std::nullopt;
  return maps;
}

}  // namespace warren::carrier
