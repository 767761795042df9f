#include "net/bridge_router.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "carrier/attach.h"
#include "core/log.h"
#include "linux/nftables.h"
#include "net/rules_json.h"

// The skeleton speaks of the struct that the program shares with us.
// clang-format off
#include "net/bpf/bridge_router_abi.h"
#include <bridge_router.skel.h>
// clang-format on

namespace warren::net {

namespace {

using namespace rules;

constexpr auto pins_name = "bridge-router-v1";

struct Bridge {
  netlink::Link link;
  std::vector<netlink::Link> wide_ports;  // from which too large frames can come
};

Result<Bridge> look(const std::string& name, netlink::Socket& socket) {
  Bridge bridge;
  const auto link = socket.link(name);
  if (!link) return tl::unexpected(link.error());
  bridge.link = *link;
  const auto links = socket.links();
  if (!links) return tl::unexpected(links.error());
  for (const auto& port : *links)
    if (port.master == link->index && port.mtu > link->mtu) bridge.wide_ports.push_back(port);
  return bridge;
}

Json prefix(const IpPrefix& network) {
  return {{"prefix", {{"addr", network.address.to_string()}, {"len", network.length}}}};
}

std::string list(const std::vector<IpPrefix>& networks) {
  std::string text;
  for (const auto& network : networks) text += (text.empty() ? "" : ", ") + network.to_string();
  return text;
}

std::string nft_rules(const std::string& name, const Bridge& bridge, const BridgeToRouter& router) {
  Table table("bridge", name);
  table.chain("prerouting", "filter", "prerouting", -301);  // before address translation
  std::vector<std::string> ports;
  for (const auto& port : bridge.wide_ports) ports.push_back(port.name);
  if (ports.empty()) return table.text();
  for (const auto& network : router.networks)
    table.rule("prerouting",
               {match(meta("iifname"), "==", one_of(ports)),
                match(meta("pkttype"), "!=", one_of({"broadcast", "multicast"})),
                match(payload(network.address.ipv6 ? "ip6" : "ip", "daddr"), "==", prefix(network)),
                match(meta("length"), ">", bridge.link.mtu), set_to(meta("pkttype"), "host"),
                set_to(payload("ether", "daddr"), bridge.link.mac.to_string())});
  return table.text();
}

// Whether the kernel takes such rules; tried in a transaction that is not committed.
bool nft_can() {
  Table table("bridge", "warren-probe");
  table.chain("c", "filter", "prerouting", -301);
  table.rule("c", {match(meta("pkttype"), "!=", "broadcast"), match(meta("length"), ">", 1),
                   set_to(meta("pkttype"), "host"),
                   set_to(payload("ether", "daddr"), "02:00:00:00:00:01")});
  const auto json = R"({"nftables":[{"add":{"table":{"family":"bridge","name":"warren-probe"}}},)" +
                    table.text() + "]}";
  return nftables::check(json).has_value();
}

struct Close {
  void operator()(bridge_router_bpf* program) const { bridge_router_bpf__destroy(program); }
};
using Program = std::unique_ptr<bridge_router_bpf, Close>;

Result<Program> load(const Bridge& bridge, const BridgeToRouter& router) {
  Program program(bridge_router_bpf__open());
  if (!program) return fail_errno("open the kernel program bridge_router");
  // The skeleton's read-only data is ours to fill until it is loaded.
  bridge_router data{};
  std::ranges::copy(bridge.link.mac.bytes, data.mac);
  data.mtu = bridge.link.mtu;
  for (const auto& network : router.networks) {
    auto& entry = data.networks[data.networks_used++];
    entry.ipv6 = network.address.ipv6 ? 1 : 0;
    std::memcpy(entry.address, network.address.bytes.data(), sizeof entry.address);
    std::array<std::uint8_t, 16> mask{};
    for (unsigned bit = 0; bit < network.length; ++bit)
      mask[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
    std::memcpy(entry.mask, mask.data(), sizeof entry.mask);
  }
  static_assert(sizeof data == sizeof program->rodata->router);
  std::memcpy(const_cast<void*>(static_cast<const volatile void*>(&program->rodata->router)), &data,
              sizeof data);
  if (bridge_router_bpf__load(program.get()) != 0)
    return fail_errno(
        "load the kernel program bridge_router (it needs CONFIG_BPF_SYSCALL and "
        "CONFIG_NET_CLS_BPF)");
  return program;
}

// The kernel says "redirect" to whoever sends large packets through the router to a neighbour, and over
// IPv6 no setting keeps it from that.
Setting redirects_nobody(const std::string& bridge) {
  const auto name = table_name("no-redirects-" + bridge);
  Table table("ip6", name);
  table.chain("output", "filter", "output", 0);
  table.rule("output", {match(meta("oifname"), "==", bridge),
                        match(payload("icmpv6", "type"), "==", "nd-redirect"), statement("drop")});
  return has_table("ip6", name, "no IPv6 redirects by " + bridge,
                   [=](netlink::Socket&) -> Result<std::string> { return table.text(); });
}

Setting redirects(const std::string& port, const std::string& bridge,
                  const BridgeToRouter& router) {
  Setting setting{.key = "large frames of " + port,
                  .value = "to " + list(router.networks) + " routed by " + bridge + " (tc)"};
  // What the program that is attached was told.
  const auto told = std::make_shared<std::pair<std::uint32_t, MacAddress>>();
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto index = socket.index(port);
    const auto master = socket.link(bridge);
    if (!index || !master || *told != std::pair(master->mtu, master->mac)) return false;
    const auto pins = carrier::BpfPins::open(pins_name, carrier::BpfPins::Access::read);
    return pins && carrier::attached(*pins, carrier::Hook::ingress, *index).has_value();
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> { return Undo{{"redirect", port}}; };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto index = socket.index(port);
    if (!index) return tl::unexpected(index.error());
    const auto now = look(bridge, socket);
    if (!now) return tl::unexpected(now.error());
    auto program = load(*now, router);
    if (!program) return tl::unexpected(program.error());
    auto pins = carrier::BpfPins::open(pins_name, carrier::BpfPins::Access::change);
    if (!pins) return tl::unexpected(pins.error());
    const auto done = carrier::attach(*pins, carrier::Hook::ingress, *index,
                                      ::bpf_program__fd((*program)->progs.route_large));
    if (!done) return tl::unexpected(done.error());
    *told = {now->link.mtu, now->link.mac};
    return {};
  };
  return setting;
}

}  // namespace

Result<> stop_redirecting(const std::string& port, netlink::Socket& socket) {
  const auto index = socket.index(port);
  if (!index) return {};
  auto pins = carrier::BpfPins::open(pins_name, carrier::BpfPins::Access::change);
  if (!pins) return tl::unexpected(pins.error());
  auto done = carrier::detach(*pins, carrier::Hook::ingress, *index);
  if (done && !pins->exist()) return pins->remove_all();
  return done;
}

void add_bridge_to_router(Settings& settings, const std::string& bridge,
                          const std::vector<std::string>& ports, const BridgeToRouter& router) {
  const bool ipv6 =
      std::ranges::any_of(router.networks, [](const auto& n) { return n.address.ipv6; });
  settings.push_back(has_sysctl("net/ipv4/ip_forward", "1"));
  if (ipv6) settings.push_back(has_sysctl("net/ipv6/conf/all/forwarding", "1"));
  // The kernel sends redirects where either of the two allows it.
  for (const auto& device : {std::string("all"), bridge})
    settings.push_back(has_sysctl("net/ipv4/conf/" + device + "/send_redirects", "0"));
  if (ipv6) settings.push_back(redirects_nobody(bridge));
  using Method = BridgeToRouter::Method;
  const bool nft =
      router.method == Method::nft || (router.method == Method::automatic && nft_can());
  if (!nft) {
    if (router.method == Method::automatic)
      log::info(
          "{}: nf_tables has no meta expressions for bridges (CONFIG_NFT_BRIDGE_META): a kernel "
          "program routes what is too large",
          bridge);
    for (const auto& port : ports) settings.push_back(redirects(port, bridge, router));
    return;
  }
  const auto name = table_name("route-" + bridge);
  settings.push_back(
      has_table("bridge", name,
                "route frames to " + list(router.networks) + " that are too large for " + bridge,
                [=](netlink::Socket& socket) -> Result<std::string> {
                  const auto now = look(bridge, socket);
                  if (!now) return tl::unexpected(now.error());
                  return nft_rules(name, *now, router);
                }));
}

}  // namespace warren::net
