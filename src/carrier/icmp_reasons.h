/// Names of the counters of icmp_abi.h's enum icmp_reason, for people and scripts.
#pragma once

#include <array>
#include <string_view>

#include "carrier/bpf/icmp_abi.h"

namespace warren::carrier {

struct IcmpReason {
  std::string_view name;
  std::string_view meaning;
  bool dropped;  ///< as opposed to: passed on as an ordinary packet
};

inline constexpr std::array<IcmpReason, ICMP_REASON_COUNT> icmp_reasons = {{
    {"fragment", "fragments of a datagram that is carried", true},
    {"no_session", "from a served port to somebody who has no session", true},
    {"no_detour", "super-packets without a detour that segments them", true},
    {"malformed", "packets whose lengths do not agree", true},
    {"rewrite", "packets that the kernel refused to change", true},
    {"not_attached", "packets through a device that carries nothing", true},
    {"not_opening", "known tag, no session, and no packet that opens one", false},
    {"address", "known tag from an address that the user is not tied to", false},
    {"arrived_fragment", "messages that arrived in fragments, which nobody restores", false},
}};

}  // namespace warren::carrier
