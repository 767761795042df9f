/// The programs and maps of the ICMP carrier in the kernel: loaded once, found again under their
/// pins, and replaced when a newer Warren brings other programs.
#pragma once

#include <optional>
#include <string>

#include <warren/fd.h>
#include <warren/result.h>

#include "carrier/bpf/icmp_abi.h"
#include "carrier/bpf_map.h"
#include "carrier/bpf_pins.h"
#include "carrier/device_table.h"
#include "carrier/flow_cache.h"

namespace warren::carrier {

struct IcmpMaps {
  DeviceTable devices;
  CachedMap<icmp_server_key, icmp_server> servers;
  CachedMap<icmp_reply_key, icmp_reply> replies;
  CachedMap<icmp_user_key, icmp_user> users;
  BpfMap<std::uint32_t, icmp_ports> ports;  ///< by port / 64
  BpfMap<icmp_session_key, icmp_session> sessions;
  BpfMap<icmp_whole_key, icmp_whole> wholes;
  FlowCache cache;
  Fd drops;

  /// Nothing where none are pinned.
  [[nodiscard]] static Result<std::optional<IcmpMaps>> open(const BpfPins& pins);
};

struct IcmpPrograms {
  Fd carry;
  Fd restore;
  Fd restore_xdp;  ///< none where the kernel refused it; `why_no_xdp` says why
  Fd guard;        ///< as above
  std::string why_no_xdp;
  std::string why_no_guard;
};

/// The names under which they are pinned.
inline constexpr const char* guard_link = "link-guard";

/// Loads the programs, with the maps that are pinned or new ones, and pins all of it. Programs of
/// another build that are attached are replaced: at no moment is a device without one.
[[nodiscard]] Result<IcmpPrograms> load_icmp_programs(BpfPins& pins);

}  // namespace warren::carrier
