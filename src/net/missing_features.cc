// Tries what a file asks of the kernel, in a network namespace of its own.
#include <fmt/format.h>

#include <algorithm>

#include "linux/netns.h"
#include "linux/nftables.h"
#include "net/diagnose.h"
#include "net/kernel_node.h"
#include "net/rules_json.h"

namespace warren::net {

namespace {

using namespace rules;

/// What the sections of a file use.
struct Used {
  bool bridge = false, vxlan = false, tables = false, inet = false, clamp = false, nat = false;
  bool bridge_rules = false;
};

Used features_of(const GraphSpec& spec) {
  Used used;
  for (const auto& node : spec.nodes) {
    const auto* config = dynamic_cast<const KernelNodeConfig*>(node.config.get());
    if (config == nullptr) continue;
    const auto& section = config->section();
    const auto layer3 = [&](const Layer3& layer) {
      used.inet = used.inet || layer.same_way_back;
      used.tables = used.tables || layer.same_way_back;
    };
    if (const auto* bridge = std::get_if<BridgeSection>(&section)) {
      used.bridge = true;
      used.bridge_rules = used.bridge_rules || !bridge->router.networks.empty();
      layer3(bridge->layer3);
    } else if (const auto* vxlan = std::get_if<VxlanSection>(&section)) {
      used.vxlan = used.vxlan || vxlan->engine != VxlanEngine::user;
      used.clamp = used.clamp || vxlan->clamp.on;
      layer3(vxlan->layer3);
    } else if (const auto* device = std::get_if<DeviceSection>(&section)) {
      used.clamp = used.clamp || device->clamp.on;
      layer3(device->layer3);
    } else if (std::holds_alternative<RuleSection>(section)) {
      used.tables = true;
    } else if (const auto* zone = std::get_if<ZoneSection>(&section)) {
      used.inet = true;
      used.nat = used.nat || zone->masquerade;
      used.clamp = used.clamp || zone->clamp.on;
    }
  }
  return used;
}

// A chain, and a rule in it where there is one.
Result<> try_rules(const char* family, const char* type, const char* hook, int priority,
                   const std::string& device, const std::vector<Json>& rule) {
  Table table(family, "warren-probe");
  table.chain("c", type, hook, priority, device);
  if (!rule.empty()) table.rule("c", rule);
  return nftables::check(fmt::format(
      R"({{"nftables":[{{"add":{{"table":{{"family":"{}","name":"warren-probe"}}}}}},{}]}})",
      family, table.text()));
}

}  // namespace

Result<std::vector<Finding>> missing_features(const GraphSpec& spec) {
  const auto used = features_of(spec);
  const auto netns = create_netns();
  if (!netns) return fail_in("try what the kernel can", netns.error());
  const auto scope = NetnsScope::enter(netns->get());
  if (!scope) return tl::unexpected(scope.error());
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());

  std::vector<Finding> findings;
  const auto need = [&](bool wanted, const Result<>& works, const std::string& what,
                        const std::string& option,
                        Finding::Weight weight = Finding::Weight::broken) {
    if (wanted && !works)
      findings.push_back({"missing-feature", weight, "the kernel lacks " + what,
                          works.error().message, "a kernel with " + option + ", or its module"});
  };
  need(used.bridge, socket->create_bridge({.name = "probe-br"}), "bridges", "CONFIG_BRIDGE");
  need(used.vxlan, socket->create_vxlan({.name = "probe-vx", .vni = 1}), "VXLAN", "CONFIG_VXLAN");
  need(used.tables,
       socket->add_rule({.priority = 1, .table = 1234, .from = {}, .to = {}, .mark = 1}),
       "policy rules", "CONFIG_IP_MULTIPLE_TABLES");
  need(used.inet,
       try_rules("inet", "filter", "forward", 0, "",
                 {match(ct("state"), "in", Json{"established", "related"}), statement("accept")}),
       "nf_tables with connection tracking", "CONFIG_NF_TABLES_INET and CONFIG_NFT_CT");
  need(used.nat, try_rules("inet", "nat", "postrouting", 100, "", {statement("masquerade")}),
       "masquerading", "CONFIG_NFT_MASQ");
  const Json segment = {{"tcp option", {{"name", "maxseg"}, {"field", "size"}}}};
  need(used.clamp, try_rules("netdev", "filter", "egress", 0, "lo", {set_to(segment, 1300)}),
       "nf_tables at the egress of devices, for clamp-mss",
       "CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_EGRESS (5.16)");
  need(used.bridge_rules,
       try_rules("bridge", "filter", "prerouting", -301, "",
                 {match(meta("length"), ">", 1), set_to(meta("pkttype"), "host"),
                  set_to(payload("ether", "daddr"), "02:00:00:00:00:01")}),
       "nf_tables with meta expressions for bridges; bridge-to-router takes a kernel program "
       "instead",
       "CONFIG_NF_TABLES_BRIDGE and CONFIG_NFT_BRIDGE_META", Finding::Weight::note);
  return findings;
}

}  // namespace warren::net
