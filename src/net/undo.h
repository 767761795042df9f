/// How to take one change back, in words that fit in a line of the journal.
///
///     link NAME                      delete a device that Warren made
///     port NAME BRIDGE               give a device back to its former bridge, or to none
///     up NAME, mtu NAME OURS FORMER, mac NAME OURS FORMER
///     address NAME PREFIX, route …, rule …, fdb NAME MAC TO
///     sysctl NAME OURS FORMER
///     table FAMILY NAME              a table of nf_tables
///     routes TABLE                   all of a table that only we use
///     redirect NAME                  a kernel program at a device
///
/// What somebody else has changed since is left alone; what is gone already is no error.
#pragma once

#include <string>
#include <vector>

#include <warren/result.h>

#include "linux/netlink.h"

namespace warren::net {

struct Undo {
  std::vector<std::string> words;
  friend bool operator==(const Undo&, const Undo&) = default;
};

/// In the network namespace of the calling thread.
Result<> perform(const Undo& undo, netlink::Socket& socket);

// Words for what has many parts.
[[nodiscard]] Undo undo_route(const netlink::TableRoute& route, const std::string& device);
[[nodiscard]] Undo undo_rule(const netlink::Rule& rule);

}  // namespace warren::net
