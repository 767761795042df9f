// [zone.NAME]: forwarding between groups of devices, and masquerading.
//
// What comes from a zone's devices goes to the zones that it names, to devices of its own zone, and
// back where it is the answer to something; else it is dropped. Traffic of devices that are in no
// zone is not touched.
#include "net/rules_json.h"
#include "net/sections.h"

namespace warren::net {

namespace {

using namespace rules;

std::string zone_rules(const std::string& name, const ZoneSection& section) {
  Table table("inet", name);
  const auto from_here = match(meta("iifname"), "==", one_of(section.devices));
  table.chain("forward", "filter", "forward", 0);
  table.rule("forward", {from_here, match(ct("state"), "in", Json{"established", "related"}),
                         statement("accept")});
  table.rule("forward", {from_here, match(meta("oifname"), "==", one_of(section.devices)),
                         statement("accept")});
  if (!section.forward.empty())
    table.rule("forward", {from_here, match(meta("oifname"), "==", one_of(section.forward)),
                           statement("accept")});
  table.rule("forward", {from_here, statement("drop")});
  if (section.masquerade) {
    table.chain("postrouting", "nat", "postrouting", 100);
    std::vector<Json> masquerade = {match(meta("oifname"), "==", one_of(section.devices))};
    if (!section.ipv6) masquerade.push_back(match(meta("nfproto"), "==", "ipv4"));
    masquerade.push_back(statement("masquerade"));
    table.rule("postrouting", masquerade);
  }
  return table.text();
}

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "nowhere" : text;
}

}  // namespace

Settings settings_of(const std::string& name, const ZoneSection& section) {
  Settings settings;
  if (section.devices.size() > 1 || !section.forward.empty() || section.masquerade) {
    settings.push_back(has_sysctl("net/ipv4/ip_forward", "1"));
    if (section.ipv6) settings.push_back(has_sysctl("net/ipv6/conf/all/forwarding", "1"));
  }
  const auto table = table_name("zone-" + name);
  settings.push_back(has_table(
      "inet", table,
      "from " + list(section.devices) + " to " + list(section.forward) +
          (section.masquerade
               ? std::string(", masquerading what leaves") + (section.ipv6 ? " (IPv6 too)" : "")
               : ""),
      [=](netlink::Socket&) -> Result<std::string> { return zone_rules(table, section); }));
  for (const auto& device : section.devices)
    add_mss_clamp(settings, device, section.clamp, mtu_of_device(device));
  return settings;
}

}  // namespace warren::net
