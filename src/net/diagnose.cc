#include "net/diagnose.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <map>
#include <set>

#include "linux/net_counters.h"
#include "linux/sysctl.h"
#include "net/kernel_node.h"

namespace warren::net {

namespace {

using Weight = Finding::Weight;

/// The machine as it is, and what was found.
class Patient {
 public:
  Patient(const GraphSpec& spec, netlink::Socket socket, std::vector<netlink::Link> links)
      : spec_(spec), socket_(std::move(socket)), links_(std::move(links)) {}

  void examine();
  std::vector<Finding> findings;

 private:
  template <class Section, class Each>
  void for_each(Each&& each) {
    for (const auto& node : spec_.nodes)
      if (const auto* config = dynamic_cast<const KernelNodeConfig*>(node.config.get()))
        if (const auto* section = std::get_if<Section>(&config->section()))
          each(config->subject(), *section);
  }
  [[nodiscard]] const netlink::Link* find(const std::string& name) const {
    const auto found = std::ranges::find(links_, name, &netlink::Link::name);
    return found == links_.end() ? nullptr : &*found;
  }
  [[nodiscard]] std::string name_of(int index) const {
    const auto found = std::ranges::find(links_, index, &netlink::Link::index);
    return found == links_.end() ? fmt::format("device {}", index) : found->name;
  }
  void found(std::string kind, Weight weight, std::string what, std::string why, std::string fix) {
    findings.push_back({std::move(kind), weight, std::move(what), std::move(why), std::move(fix)});
  }
  [[nodiscard]] std::optional<netlink::TableRoute> default_route(bool ipv6);

  void examine_ports(const std::string& name, const BridgeSection& section);
  void examine_mtus(const std::string& name, const BridgeSection& section);
  void examine_vxlan(const std::string& name, const VxlanSection& section);
  void examine_peers(const std::string& name, const VxlanSection& section);
  void examine_default_route(const std::string& name, const BridgeSection& section);
  void examine_way_back(const std::string& name, const Layer3& layer3);
  void examine_clients();
  void examine_congestion_control();
  void examine_netfilter();

  const GraphSpec& spec_;
  netlink::Socket socket_;
  std::vector<netlink::Link> links_;
};

// The one that the kernel takes: of the smallest metric.
std::optional<netlink::TableRoute> Patient::default_route(bool ipv6) {
  std::optional<netlink::TableRoute> best;
  for (const auto& route : socket_.routes(ipv6).value_or(std::vector<netlink::TableRoute>{})) {
    if (route.table != RT_TABLE_MAIN || route.route.destination.length != 0) continue;
    if (!best || route.route.metric.value_or(0) < best->route.metric.value_or(0)) best = route;
  }
  return best;
}

void Patient::examine_ports(const std::string& name, const BridgeSection& section) {
  const auto* bridge = find(name);
  if (bridge == nullptr)
    return found("device-missing", Weight::broken, fmt::format("there is no bridge {}", name),
                 "nothing of this file is up, or somebody deleted it",
                 "`warren up` makes it; a running instance makes it again");
  for (const auto& port : section.ports) {
    const auto* link = find(port.text);
    if (link == nullptr)
      found("device-missing", Weight::broken,
            fmt::format("{}: the port {} does not exist", name, port.text),
            "its driver or its program (hostapd, for Wi-Fi) has not made it", "start that program");
    else if (link->master != bridge->index)
      found("port-without-bridge", Weight::broken,
            link->master == 0
                ? fmt::format("{} lost its bridge: it should be a port of {}", port.text, name)
                : fmt::format("{} is a port of {}, and should be one of {}", port.text,
                              name_of(link->master), name),
            "frames that come in there, DHCP's among them, are not forwarded",
            fmt::format("a running `warren up` repairs it; by hand: ip link set {} master {}",
                        port.text, name));
    else if (!link->up)
      found("port-down", Weight::broken, fmt::format("{}: the port {} is down", name, port.text),
            "nothing goes through it", fmt::format("ip link set {} up", port.text));
  }
}

void Patient::examine_mtus(const std::string& name, const BridgeSection& section) {
  const auto* bridge = find(name);
  if (bridge == nullptr || !section.router.networks.empty()) return;
  const netlink::Link* narrow = nullptr;
  const netlink::Link* wide = nullptr;
  for (const auto& link : links_) {
    if (link.master != bridge->index) continue;
    if (narrow == nullptr || link.mtu < narrow->mtu) narrow = &link;
    if (wide == nullptr || link.mtu > wide->mtu) wide = &link;
  }
  if (narrow == nullptr || narrow->mtu == wide->mtu) return;
  found(
      "mtu-mismatch", Weight::broken,
      fmt::format("{} is one L2 with two MTUs: {} has {}, {} has {}", name, narrow->name,
                  narrow->mtu, wide->name, wide->mtu),
      fmt::format("frames of more than {} bytes from {} are lost at {}: a bridge cannot fragment",
                  narrow->mtu, wide->name, narrow->name),
      fmt::format("mtu = \"transparent\" in [vxlan.{}], bridge-to-router in [bridge.{}], or hosts "
                  "that know: see `warren plan`",
                  narrow->name, name));
}

void Patient::examine_vxlan(const std::string& name, const VxlanSection& section) {
  if (section.engine == VxlanEngine::user) return examine_peers(name, section);
  const auto present = socket_.vxlan(name);
  if (!present)
    return found("device-missing", Weight::broken, fmt::format("there is no VXLAN {}", name),
                 present.error().message,
                 "`warren up` makes it; a running instance makes it again");
  const auto& wanted = section.bound.text;
  if (present->lower != 0 && name_of(present->lower) != wanted)
    found("vxlan-bound", Weight::broken,
          fmt::format("{} is bound to {}{}", name, name_of(present->lower),
                      wanted.empty() ? "" : fmt::format(", and should be to {}", wanted)),
          "the kernel caps its MTU by that device's, sends only through it, and deletes it with it",
          fmt::format("delete it (ip link delete {}), and let `warren up` make it", name));
  if (present->vni != section.vni || present->port != section.port)
    found("vxlan-differs", Weight::broken,
          fmt::format("{} has VNI {} and port {}, and should have {} and {}", name, present->vni,
                      present->port, section.vni, section.port),
          "the ends do not understand each other", fmt::format("ip link delete {}", name));
  const auto fits = vxlan_fit(section, socket_);
  if (fits && present->mtu && *present->mtu > *fits && !section.clamp.on)
    found("fragments", Weight::note,
          fmt::format("{} has an MTU of {}, and {} fit below", name, *present->mtu, *fits),
          "what is larger crosses the wire in two packets",
          "clamp-mss = \"auto\" keeps TCP from it; mtu = \"auto\" everything");
  if (present->mtu && *present->mtu < l3::min_ipv6_mtu)
    found("too-narrow-for-ipv6", Weight::broken,
          fmt::format("{} has an MTU of {}", name, *present->mtu), "IPv6 needs 1280",
          "a larger MTU below it");
  examine_peers(name, section);
}

void Patient::examine_peers(const std::string& name, const VxlanSection& section) {
  const bool kernel = section.engine != VxlanEngine::user;
  const auto entries = socket_.fdb(name).value_or(std::vector<netlink::FdbEntry>{});
  const auto lower = find(section.over.text);
  for (const auto& peer : section.peers) {
    if (kernel && std::ranges::none_of(entries, [&](const netlink::FdbEntry& entry) {
          return entry.mac == MacAddress{} && entry.to == peer;
        }))
      found(
          "peer-missing", Weight::broken,
          fmt::format("{} does not flood to its peer {}", name, peer.to_string()),
          "broadcasts, ARP and DHCP among them, do not reach it",
          fmt::format("bridge fdb append 00:00:00:00:00:00 dev {} dst {}", name, peer.to_string()));
    const auto way = socket_.route_to(peer);
    if (!way)
      found("peer-unreachable", Weight::broken,
            fmt::format("{}: there is no route to the peer {}", name, peer.to_string()),
            way.error().message, "bring up what leads to it");
    else if (lower != nullptr && way->device != lower->index)
      found("wrong-way", Weight::broken,
            fmt::format("{}: the way to the peer {} is {}, and should be {}", name,
                        peer.to_string(), name_of(way->device), lower->name),
            "its datagrams leave unencrypted, or not at all",
            fmt::format("ip route replace {} dev {}", peer.to_string(), lower->name));
  }
}

// A DHCP client on an L2 that comes from elsewhere gets a default route to elsewhere.
void Patient::examine_default_route(const std::string& name, const BridgeSection& section) {
  const auto* bridge = find(name);
  std::set<std::string> vxlans;
  for_each<VxlanSection>([&](const std::string& vxlan, const auto&) { vxlans.insert(vxlan); });
  const bool extended = std::ranges::any_of(
      section.ports, [&](const Located& port) { return vxlans.contains(port.text); });
  if (bridge == nullptr || !extended) return;
  for (const bool ipv6 : {false, true}) {
    const auto route = default_route(ipv6);
    if (!route || route->device != bridge->index) continue;
    found("default-route-stolen", Weight::broken,
          fmt::format("the IPv{} default route leads into {}{}", ipv6 ? 6 : 4, name,
                      route->protocol == RTPROT_DHCP ? ", as a DHCP client was told there" : ""),
          "what should leave directly, or by WireGuard, goes through the L2 that comes from "
          "elsewhere; "
          "where the tunnel itself needs that route, everything stops",
          fmt::format("let {} have no address, or tell the DHCP client to take no gateway there",
                      name));
  }
}

void Patient::examine_way_back(const std::string& name, const Layer3& layer3) {
  const auto* link = find(name);
  const auto route = default_route(false);
  if (link == nullptr || layer3.same_way_back) return;
  const auto addresses = socket_.addresses(name).value_or(std::vector<IpPrefix>{});
  const bool ipv4 =
      std::ranges::any_of(addresses, [](const IpPrefix& a) { return !a.address.ipv6; });
  if (!ipv4 || !route || route->device == link->index) return;
  found("asymmetric-routes", Weight::note,
        fmt::format("{} has an address, and the default route leads through {}", name,
                    name_of(route->device)),
        fmt::format("who reaches this host through {} from another network is answered through {}; "
                    "where that one lets only some addresses pass, as WireGuard does, not at all",
                    name, name_of(route->device)),
        fmt::format("same-way-back = true in the section of {}, or no address there", name));
  const auto own = sysctl::read("net/ipv4/conf/" + name + "/rp_filter");
  const auto all = sysctl::read("net/ipv4/conf/all/rp_filter");
  if (own && all && std::max(*own, *all) == "1")
    found(
        "rp-filter", Weight::broken, fmt::format("rp_filter is strict on {}", name),
        fmt::format("what comes in by another device than its answer would leave by is dropped in "
                    "silence: {} packets on this host so far",
                    net_counter("TcpExt", "IPReversePathFilter").value_or(0)),
        fmt::format("sysctl -w net.ipv4.conf.{}.rp_filter=2; same-way-back does it", name));
}

// A host in two of our L2s at once, by the addresses that the bridges have learned.
void Patient::examine_clients() {
  std::map<std::string, std::set<std::string>> bridges_of;
  for (const auto& bridge : links_) {
    if (bridge.kind != "bridge") continue;
    for (const auto& entry : socket_.fdb(bridge.name).value_or(std::vector<netlink::FdbEntry>{}))
      if (!entry.permanent) bridges_of[entry.mac.to_string()].insert(bridge.name);
  }
  for (const auto& [mac, bridges] : bridges_of)
    if (bridges.size() > 1)
      found("client-on-both", Weight::note,
            fmt::format("the host {} is in {} and in {}", mac, *bridges.begin(), *bridges.rbegin()),
            "it has an address in each, and answers may leave by the other one; ICMP redirects "
            "follow",
            "let it be in one of them, or give it a route for each by hand");
}

// By what this host's TCP had to send again, not by the name alone: cubic is right on a path that loses
// nothing. What can be known: how many segments went out twice since the namespace began, all
// connections together, but for those that had arrived and whose receivers said so (DSACK: late, not
// lost). Not: whether a queue or the air lost them, and what becomes of forwarded connections.
void Patient::examine_congestion_control() {
  constexpr std::uint64_t enough = 1000;  // segments, of which one can say anything
  constexpr double lossy = 0.005;
  const auto now = sysctl::read("net/ipv4/tcp_congestion_control");
  const auto possible = sysctl::read("net/ipv4/tcp_available_congestion_control");
  if (!now || !possible || (*now != "cubic" && *now != "reno")) return;
  const auto sent = net_counter("Tcp", "OutSegs").value_or(0);
  const auto again = net_counter("Tcp", "RetransSegs").value_or(0);
  const auto needless = net_counter("TcpExt", "TCPDSACKRecv").value_or(0);
  const auto lost = again > needless ? again - needless : 0;
  if (sent < enough || static_cast<double>(lost) < lossy * static_cast<double>(sent)) return;
  const bool bbr = possible->find("bbr") != std::string::npos;
  found("congestion-control", Weight::note,
        fmt::format("TCP of this host uses {}, and had to send {:.1f} % of its segments again",
                    *now, 100 * static_cast<double>(lost) / static_cast<double>(sent)),
        fmt::format("{} of {} since the start, acknowledgements counted; {} takes each loss for a "
                    "queue that is full, and on weak Wi-Fi sends a fraction of what fits; only TCP "
                    "that ends here is meant, not what is forwarded",
                    lost, sent, *now),
        bbr ? "sysctl -w net.ipv4.tcp_congestion_control=bbr"
            : "modprobe tcp_bbr (CONFIG_TCP_CONG_BBR; OpenWrt: kmod-tcp-bbr), and sysctl -w "
              "net.ipv4.tcp_congestion_control=bbr");
}

void Patient::examine_netfilter() {
  bool bridges = false;
  for_each<BridgeSection>([&](const auto&, const auto&) { bridges = true; });
  const auto calls = sysctl::read("net/bridge/bridge-nf-call-iptables");
  if (bridges && calls && *calls == "1")
    found("bridge-netfilter", Weight::note, "bridge-nf-call-iptables is 1",
          "rules for routed packets see bridged ones too, and reassemble and fragment them",
          "sysctl -w net.bridge.bridge-nf-call-iptables=0, unless Docker or Kubernetes needs it");
  bool forwards = false;
  for_each<ZoneSection>(
      [&](const auto&, const auto& zone) { forwards = forwards || !zone.forward.empty(); });
  if (forwards && sysctl::read("net/ipv4/ip_forward").value_or("") != "1")
    found("no-forwarding", Weight::broken, "ip_forward is 0", "this host does not route",
          "`warren up` switches it on; somebody switched it off");
}

void Patient::examine() {
  for_each<BridgeSection>([&](const std::string& name, const BridgeSection& section) {
    examine_ports(name, section);
    examine_mtus(name, section);
    examine_default_route(name, section);
    examine_way_back(name, section.layer3);
  });
  for_each<VxlanSection>(
      [&](const std::string& name, const VxlanSection& section) { examine_vxlan(name, section); });
  for_each<DeviceSection>([&](const std::string& name, const DeviceSection& section) {
    if (find(name) == nullptr)
      found("device-missing", Weight::broken, fmt::format("there is no device {}", name),
            "whoever should make it has not", "start it");
    else
      examine_way_back(name, section.layer3);
  });
  examine_clients();
  examine_netfilter();
  examine_congestion_control();
}

}  // namespace

Result<std::vector<Finding>> diagnose(const GraphSpec& spec) {
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  auto links = socket->links();
  if (!links) return tl::unexpected(links.error());
  Patient patient(spec, std::move(*socket), std::move(*links));
  patient.examine();
  return std::move(patient.findings);
}

}  // namespace warren::net
