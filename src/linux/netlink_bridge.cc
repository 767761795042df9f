// Bridges and their ports.
#include <fmt/format.h>
#include <linux/if_link.h>

#include "linux/netlink_message.h"

namespace warren::netlink {

Result<> Socket::create_bridge(const BridgeConfig& config) {
  if (auto good = check_name(config.name); !good) return good;
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.put(IFLA_IFNAME, config.name);
  if (config.mac) message.put(IFLA_ADDRESS, *config.mac);
  message.nest(IFLA_LINKINFO, [&] {
    message.put(IFLA_INFO_KIND, "bridge");
    message.nest(IFLA_INFO_DATA,
                 [&] { message.put(IFLA_BR_STP_STATE, std::uint32_t{config.stp ? 1U : 0U}); });
  });
  auto done = request(message);
  if (!done && done.error().code == EOPNOTSUPP)
    return fail(
        fmt::format("make bridge {}: the kernel has no bridges (CONFIG_BRIDGE; modprobe bridge)",
                    config.name),
        EOPNOTSUPP);
  if (!done) return fail_in(fmt::format("make bridge {}", config.name), done.error());
  return done;
}

Result<> Socket::set_master(std::string_view name, std::string_view master) {
  const auto action = master.empty() ? fmt::format("take {} out of its bridge", name)
                                     : fmt::format("make {} a port of {}", name, master);
  int bridge = 0;
  if (!master.empty()) {
    const auto found = index(master);
    if (!found) return fail_in(action, found.error());
    bridge = *found;
  }
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_MASTER, static_cast<std::uint32_t>(bridge));
  return change_link(name, action, message);
}

Result<> Socket::set_alias(std::string_view name, std::string_view alias) {
  Message message(RTM_NEWLINK, 0, ifinfomsg{});
  message.put(IFLA_IFALIAS, alias);
  return change_link(name, fmt::format("note on {} whose it is", name), message);
}

}  // namespace warren::netlink
