// [vxlan.NAME]: with the kernel's engine all of it; with our own, which makes its device itself, the
// device's MTU and addresses, and the way to the peers.
//
// The kernel's device floods to the peers that its forwarding table lists under 00:00:00:00:00:00 (head-end
// replication), and learns or is told who is behind which. It is never bound to the device that `over`
// names: the kernel caps the MTU of a bound one by that device's, and deletes it along with that
// device, out of the bridge it is in. The source address and host routes say the same and do no harm.
#include <fmt/format.h>

#include "net/sections.h"

namespace warren::net {

bool operator==(const VxlanSection& a, const VxlanSection& b) {
  const auto parts = [](const VxlanSection& s) {
    return std::tie(s.engine, s.device, s.vni, s.port, s.over, s.bound, s.local, s.peers, s.entries,
                    s.ipv6, s.learning, s.dscp, s.mac, s.mtu, s.clamp, s.layer3);
  };
  return parts(a) == parts(b);
}

namespace {

Result<netlink::VxlanConfig> device_of(const std::string& name, const VxlanSection& section,
                                       netlink::Socket& socket) {
  netlink::VxlanConfig device{
      .name = name,
      .vni = section.vni,
      .port = section.port,
      .ipv6 = section.ipv6,
      .learning = section.learning,
      .tos = section.dscp ? static_cast<std::uint8_t>(*section.dscp << 2) : std::uint8_t{1},
      .mac = section.mac};
  if (section.local || !section.over.text.empty()) {
    const auto source = vxlan_source(section, socket);
    if (!source) return tl::unexpected(source.error());
    device.local = *source;
  }
  if (!section.bound.text.empty()) {
    const auto index = socket.index(section.bound.text);
    if (!index) return tl::unexpected(index.error());
    device.lower = *index;
  }
  return device;
}

std::string parameters(const VxlanSection& section) {
  auto text = fmt::format("VNI {}, port {}", section.vni, section.port);
  if (!section.over.text.empty()) text += ", over " + section.over.text;
  if (!section.bound.text.empty()) text += ", bound to " + section.bound.text;
  if (section.local) text += ", from " + section.local->to_string();
  if (section.ipv6) text += ", IPv6";
  if (!section.learning) text += ", not learning";
  if (section.dscp != 0)
    text += ", DSCP " + (section.dscp ? std::to_string(*section.dscp) : "of the frame");
  if (section.mac) text += ", address " + section.mac->to_string();
  return text;
}

Setting vxlan_exists(const std::string& name, const VxlanSection& section) {
  const auto same = [=](netlink::Socket& socket) -> Result<bool> {
    const auto wanted = device_of(name, section, socket);
    const auto present = socket.vxlan(name);
    if (!present) return false;
    // The device below is gone, or has no address yet. It will come back, and this one is not to be
    // made anew, out of its bridge, for that.
    if (!wanted) return present->vni == section.vni && present->port == section.port;
    // The address of `over` may change any time, and is no reason either: see sends_from.
    return present->vni == wanted->vni && present->port == wanted->port &&
           present->lower == wanted->lower && present->learning == wanted->learning &&
           present->tos == wanted->tos && (!wanted->mac || present->mac == wanted->mac);
  };
  const auto create = [=](netlink::Socket& socket) -> Result<> {
    const auto wanted = device_of(name, section, socket);
    if (!wanted) return tl::unexpected(wanted.error());
    return socket.create_vxlan(*wanted);
  };
  return device_exists(name, "vxlan", parameters(section), same, create);
}

// The source address, which is that of `over` at any time.
Setting sends_from(const std::string& name, const VxlanSection& section) {
  Setting setting{
      .key = "source of " + name,
      .value = section.local ? section.local->to_string() : "the address of " + section.over.text};
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto wanted = vxlan_source(section, socket);
    const auto present = socket.vxlan(name);
    // Without an address there nothing can be sent; the former one stays until there is.
    return present && (!wanted || present->local == *wanted);
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> { return Undo{{"link", name}}; };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto wanted = vxlan_source(section, socket);
    if (!wanted) return tl::unexpected(wanted.error());
    return socket.set_vxlan_local(name, *wanted);
  };
  return setting;
}

MtuSource mtu_source(const VxlanSection& section) {
  return [section](netlink::Socket& socket) -> Result<std::uint32_t> {
    if (section.mtu.kind == l3::MtuChoice::Kind::fixed) return section.mtu.value;
    if (section.mtu.kind == l3::MtuChoice::Kind::transparent) return l3::ethernet_mtu;
    return vxlan_fit(section, socket);
  };
}

}  // namespace

Result<IpAddress> vxlan_source(const VxlanSection& section, netlink::Socket& socket) {
  if (section.local) return *section.local;
  const auto address = socket.first_address(section.over.text, section.ipv6);
  if (!address) return tl::unexpected(address.error());
  if (*address) return **address;
  return fail(
      fmt::format("{} has no {} address, which VXLAN needs as its source: give it one, or say "
                  "local = \"...\"",
                  section.over.text, section.ipv6 ? "IPv6" : "IPv4"),
      EADDRNOTAVAIL);
}

int vxlan_lower(const VxlanSection& section, netlink::Socket& socket) {
  const auto& name = section.over.text.empty() ? section.bound.text : section.over.text;
  if (!name.empty()) return socket.index(name).value_or(0);
  if (section.peers.empty()) return 0;
  const auto way = socket.route_to(section.peers.front());
  return way ? way->device : 0;
}

Result<std::uint32_t> vxlan_fit(const VxlanSection& section, netlink::Socket& socket) {
  const auto overhead = l3::overhead_of(l3::Encapsulation::vxlan, section.ipv6);
  const int index = vxlan_lower(section, socket);
  if (index == 0) return l3::ethernet_mtu - overhead;
  const auto lower = socket.link(index);
  if (!lower) return tl::unexpected(lower.error());
  if (lower->mtu < overhead + 68)
    return fail(fmt::format("nothing fits into {}, whose MTU is {}", lower->name, lower->mtu),
                EINVAL);
  // Loopback and the like carry more than Ethernet; hosts of an L2 do not expect that.
  return std::min(lower->mtu - overhead, l3::ethernet_mtu);
}

Settings settings_of(const std::string& name, const VxlanSection& section) {
  const bool kernel = section.engine != VxlanEngine::user;
  Settings settings;
  if (kernel) settings.push_back(vxlan_exists(name, section));
  if (kernel && (section.local || !section.over.text.empty()))
    settings.push_back(sends_from(name, section));
  if (section.device)
    settings.push_back(has_mtu(name, section.mtu.to_string(), mtu_source(section)));
  if (!section.over.text.empty())
    for (const auto& peer : section.peers)
      settings.push_back(is_reached_through(peer, section.over.text));
  if (kernel) {
    for (const auto& peer : section.peers)
      settings.push_back(has_fdb_entry(name, {.mac = {}, .to = peer}));
    for (const auto& entry : section.entries) settings.push_back(has_fdb_entry(name, entry));
  }
  if (!section.device) return settings;
  settings.push_back(is_up(name));
  add_layer3(settings, name, section.layer3);
  add_mss_clamp(settings, name, section.clamp,
                [section](netlink::Socket& socket) { return vxlan_fit(section, socket); });
  return settings;
}

}  // namespace warren::net
