/// Classic BPF for raw ICMP sockets: only the echo messages of some users wake the program.
///
/// The programs compute the tag as the codec does (icmp_codec.h), with remainders: a sum of 16-bit
/// words in ones'-complement arithmetic is the plain sum modulo 0xffff.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "carrier/ticket.h"

namespace warren::carrier {

/// For messages of this ICMP `type`. `tags` are those of the bytes as they arrive, 1500 at most.
[[nodiscard]] std::vector<sock_filter> make_icmp_filter(bool ipv6, std::uint8_t type,
                                                        std::span<const Tag> tags);

}  // namespace warren::carrier
