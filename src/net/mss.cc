// `clamp-mss`: TCP connections through one device agree on segments that fit it.
//
// A connection's SYN names the largest segment that its sender wants to receive. Where it crosses a
// narrow port, both SYNs are corrected: the one that leaves by it, so that the far side sends what
// fits, and the one that comes in by it, so that the near side does. It happens at the port itself
// (nf_tables, family netdev), for bridged frames as well as for routed packets; connections between
// other ports of the same bridge keep their large segments.
#include <fmt/format.h>

#include "net/rules_json.h"
#include "net/sections.h"

namespace warren::net {

namespace {

using namespace rules;

void add_rules(Table& table, const char* chain, std::uint32_t mtu, const std::string& comment) {
  for (const bool ipv6 : {false, true}) {
    const auto segment = l3::mss(mtu, ipv6);
    const Json option = {{"tcp option", {{"name", "maxseg"}, {"field", "size"}}}};
    table.rule(
        chain,
        {match(meta("protocol"), "==", ipv6 ? "ip6" : "ip"), match(meta("l4proto"), "==", "tcp"),
         match({{"&", {payload("tcp", "flags"), Json{{"|", {"syn", "rst"}}}}}}, "==", "syn"),
         match(option, ">", segment), set_to(option, segment)},
        comment);
  }
}

}  // namespace

void add_mss_clamp(Settings& settings, const std::string& device, const MssClamp& clamp,
                   const MtuSource& fits) {
  if (!clamp.on) return;
  const auto name = table_name("mss-" + device);
  const auto json = [=](netlink::Socket& socket) -> Result<std::string> {
    const auto link = socket.link(device);
    if (!link) return tl::unexpected(link.error());
    const auto mtu = clamp.mtu ? Result<std::uint32_t>(*clamp.mtu) : fits(socket);
    if (!mtu) return tl::unexpected(mtu.error());
    Table table("netdev", name);
    // A device that returns has another index, so that the rules are made for it again.
    const auto comment = fmt::format("device {}", link->index);
    table.chain("out", "filter", "egress", 0, device);
    add_rules(table, "out", *mtu, comment);
    table.chain("in", "filter", "ingress", 0, device);
    add_rules(table, "in", *mtu, comment);
    return table.text();
  };
  settings.push_back(
      has_table("netdev", name,
                clamp.mtu ? fmt::format("clamp the MSS on {} to {} bytes", device, *clamp.mtu)
                          : fmt::format("clamp the MSS on {} to what fits", device),
                json));
}

}  // namespace warren::net
