#include "l3/mtu_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

namespace warren::l3 {

namespace {

constexpr std::uint32_t ipv4_header = 20;
constexpr std::uint32_t ipv6_header = 40;
constexpr std::uint32_t ipv6_fragment_header = 8;
constexpr std::uint32_t icmp_header = 8;
constexpr std::uint32_t wireguard_tag = 16;
constexpr std::uint32_t wireguard_padding = 16;
constexpr std::uint32_t min_ipv4_mtu = 68;

// A packet as the device `layer` sends it. WireGuard pads, but never beyond its own MTU.
std::uint32_t encapsulate(std::uint32_t size, const Layer& layer) {
  if (layer.tunnel.kind == Encapsulation::wireguard && size <= layer.mtu) {
    const auto padded = (size + wireguard_padding - 1) / wireguard_padding * wireguard_padding;
    size = std::min(padded, layer.mtu);
  }
  return size + overhead_of(layer.tunnel);
}

// The packets that fit; where they do not, fragments or nothing.
std::vector<std::uint32_t> fit(Step& step, std::uint32_t mtu, bool ipv6, Entry entry) {
  std::vector<std::uint32_t> fitting;
  for (const auto size : step.enter) {
    if (size <= mtu) {
      fitting.push_back(size);
    } else if (entry == Entry::bridged) {
      step.lost = true;
    } else {
      step.fragmented = true;
      const auto parts = fragment(size, mtu, ipv6);
      fitting.insert(fitting.end(), parts.begin(), parts.end());
    }
  }
  return fitting;
}

Journey send(const Path& path, const std::vector<Layer>& layers, std::vector<std::uint32_t> packets,
             Entry entry) {
  Journey journey{packets, {}};
  // What a tunnel sends comes from this host, and fragments in the family of its underlay.
  bool ipv6 = false;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    Step step{layer->tunnel.name, std::move(packets), {}, {}};
    step.taken = fit(step, layer->mtu, ipv6, entry);
    packets = step.taken;
    for (auto& size : packets) size = encapsulate(size, *layer);
    step.sent = packets;
    journey.steps.push_back(std::move(step));
    entry = Entry::routed;
    ipv6 = layer->tunnel.ipv6_underlay;
  }
  Step step{path.wire, std::move(packets), {}, {}};
  step.taken = fit(step, path.wire_mtu, ipv6, entry);
  step.sent = step.taken;
  journey.steps.push_back(std::move(step));
  return journey;
}

}  // namespace

Result<MtuChoice> MtuChoice::parse(std::string_view text) {
  if (text == "auto") return MtuChoice{Kind::automatic, 0};
  if (text == "transparent") return MtuChoice{Kind::transparent, 0};
  std::uint32_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc{} && end == text.data() + text.size() && value >= min_ipv4_mtu &&
      value <= 65535)
    return MtuChoice{Kind::fixed, value};
  return fail(fmt::format(
      "mtu is \"{}\"; it must be \"auto\", \"transparent\", or a number from {} to 65535", text,
      min_ipv4_mtu));
}

std::string MtuChoice::to_string() const {
  if (kind == Kind::fixed) return std::to_string(value);
  return kind == Kind::automatic ? "auto" : "transparent";
}

std::vector<Header> headers_before(const Tunnel& tunnel) {
  std::vector<Header> headers = {
      {tunnel.ipv6_underlay ? "ipv6" : "ip", tunnel.ipv6_underlay ? ipv6_header : ipv4_header},
      {tunnel.carrier == Carrier::icmp ? "icmp" : "udp", 8}};
  if (tunnel.kind == Encapsulation::wireguard) {
    headers.push_back({"wireguard", 16});
  } else {
    headers.push_back({"vxlan", 8});
    headers.push_back({"eth", 14});
  }
  return headers;
}

std::uint32_t overhead_of(const Tunnel& tunnel) {
  const auto headers = headers_before(tunnel);
  const auto before =
      std::accumulate(headers.begin(), headers.end(), std::uint32_t{0},
                      [](std::uint32_t sum, const Header& header) { return sum + header.size; });
  return before + (tunnel.kind == Encapsulation::wireguard ? wireguard_tag : 0);
}

std::uint32_t overhead_of(Encapsulation kind, bool ipv6_underlay) {
  return overhead_of(Tunnel{.name = {}, .kind = kind, .ipv6_underlay = ipv6_underlay});
}

Result<std::vector<Layer>> plan_layers(const Path& path) {
  std::vector<Layer> layers;
  auto below = path.wire_mtu;
  auto below_name = path.wire;
  for (const auto& tunnel : path.tunnels) {
    const auto overhead = overhead_of(tunnel);
    if (below < overhead + min_ipv4_mtu)
      return fail(
          fmt::format("{}: nothing fits: {} has an MTU of {}, and {} bytes of headers go before "
                      "a packet",
                      tunnel.name, below_name, below, overhead));
    const auto fits = below - overhead;
    const auto mtu = tunnel.mtu.kind == MtuChoice::Kind::automatic     ? fits
                     : tunnel.mtu.kind == MtuChoice::Kind::transparent ? ethernet_mtu
                                                                       : tunnel.mtu.value;
    layers.push_back({tunnel, mtu, fits});
    below = mtu;
    below_name = tunnel.name;
  }
  return layers;
}

bool Journey::lost() const { return std::ranges::any_of(steps, &Step::lost); }

Journey send_packet(const Path& path, const std::vector<Layer>& layers, std::uint32_t size,
                    Entry entry) {
  return send(path, layers, {size}, entry);
}

Journey send_ping(const Path& path, const std::vector<Layer>& layers, std::uint32_t payload,
                  std::uint32_t host_mtu, Entry entry) {
  const auto packets = fragment(payload + icmp_header + ipv4_header, host_mtu, false);
  return send(path, layers, packets, entry);
}

std::vector<std::uint32_t> fragment(std::uint32_t size, std::uint32_t mtu, bool ipv6) {
  if (size <= mtu) return {size};
  const auto header = ipv6 ? ipv6_header + ipv6_fragment_header : ipv4_header;
  auto payload = size - (ipv6 ? ipv6_header : ipv4_header);
  const auto most = (mtu - header) / 8 * 8;  // but for the last one
  std::vector<std::uint32_t> fragments;
  for (; payload > mtu - header; payload -= most) fragments.push_back(header + most);
  fragments.push_back(header + payload);
  return fragments;
}

std::vector<std::string> warnings(const Path& path, const std::vector<Layer>& layers) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto& layer = layers[i];
    const auto& below = i == 0 ? path.wire : layers[i - 1].tunnel.name;
    if (layer.mtu > layer.largest_fit)
      texts.push_back(
          fmt::format("{}: packets above {} bytes leave in two fragments on {}; mtu = \"auto\", or "
                      "an MSS clamped to {} (IPv6: {}), avoids that for TCP",
                      layer.tunnel.name, layer.largest_fit, below, mss(layer.largest_fit, false),
                      mss(layer.largest_fit, true)));
    if (layer.mtu < layer.largest_fit)
      texts.push_back(fmt::format("{}: {} bytes more would fit: mtu = {}", layer.tunnel.name,
                                  layer.largest_fit - layer.mtu, layer.largest_fit));
    if (layer.tunnel.kind == Encapsulation::vxlan && layer.mtu < ethernet_mtu)
      texts.push_back(fmt::format(
          "{}: hosts of this L2 that keep {} lose what is larger than {}: a bridge cannot "
          "fragment. "
          "Tell them the MTU by DHCP, clamp the MSS, or let the bridge route (bridge-to-router)",
          layer.tunnel.name, ethernet_mtu, layer.mtu));
    if (layer.mtu < min_ipv6_mtu)
      texts.push_back(fmt::format("{}: an MTU of {} is too small for IPv6, which needs {}",
                                  layer.tunnel.name, layer.mtu, min_ipv6_mtu));
  }
  return texts;
}

std::vector<std::string> dnsmasq_lines(const std::string& interface, std::uint32_t mtu) {
  return {fmt::format("dhcp-option=tag:{},option:mtu,{}", interface, mtu),
          fmt::format("ra-param={},mtu:{},600", interface, mtu)};
}

}  // namespace warren::l3
