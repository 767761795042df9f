/// What becomes of a packet in tunnels inside tunnels: sizes, fragments, losses. Pure computation.
///
/// Theory of operation. A path is a stack of tunnels, each with an MTU of its own, over a wire. A
/// packet enters the innermost one and meets the same two questions in each:
///
///     does it fit the device's MTU?      no: routed packets are fragmented, or answered with "packet too
///                                        big"; a bridge can do neither, and the frame is lost
///     what is put around it?             the result is a packet for the device below
///
///     data | icmp | ip          1500        a host's packet
///     eth | vxlan | udp | ip  + 50 = 1550   made by this host: above 1420 it leaves in two fragments
///     wireguard | udp | ip    + 60 = 1480   each of them
///
/// All sizes are bytes of the IP packet, its header included, without the wire's own framing.
/// Sources: RFC 7348 (VXLAN), the WireGuard paper (section 5.4.6), RFC 791 (fragments are multiples of
/// 8), RFC 8200 (section 4.5; 1280).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warren/result.h>

namespace warren::l3 {

inline constexpr std::uint32_t ethernet_mtu = 1500;
/// Links that are narrower carry no IPv6 (RFC 8200).
inline constexpr std::uint32_t min_ipv6_mtu = 1280;

/// `mtu = "auto" | "transparent" | 1370` of a network file.
struct MtuChoice {
  enum class Kind : std::uint8_t {
    automatic,    ///< what fits below: nothing is fragmented
    transparent,  ///< 1500, as if there were no tunnel: the layer below fragments
    fixed,
  };
  Kind kind = Kind::automatic;
  std::uint32_t value = 0;  ///< of `fixed`

  [[nodiscard]] static Result<MtuChoice> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const MtuChoice&, const MtuChoice&) = default;
};

enum class Encapsulation : std::uint8_t { vxlan, wireguard };
/// What bears WireGuard's messages. A message in ICMP is as long as in UDP: both headers have 8 bytes.
enum class Carrier : std::uint8_t { udp, icmp };

/// One device that puts headers around what it gets.
struct Tunnel {
  std::string name;  ///< "wg0"
  Encapsulation kind = Encapsulation::vxlan;
  bool ipv6_underlay = false;
  Carrier carrier = Carrier::udp;
  MtuChoice mtu{};
};

/// The way of a packet: over a device that is there, through tunnels.
struct Path {
  std::string wire = "wire";  ///< the device that carries the outermost tunnel
  std::uint32_t wire_mtu = ethernet_mtu;
  std::vector<Tunnel> tunnels;  ///< the outermost first
};

struct Header {
  std::string_view name;
  std::uint32_t size;
};

/// What the tunnel puts before a packet, the outermost first.
[[nodiscard]] std::vector<Header> headers_before(const Tunnel& tunnel);
/// What all of it makes longer, with the tag of WireGuard, without its padding.
[[nodiscard]] std::uint32_t overhead_of(const Tunnel& tunnel);
[[nodiscard]] std::uint32_t overhead_of(Encapsulation kind, bool ipv6_underlay);

struct Layer {
  Tunnel tunnel;
  std::uint32_t mtu;          ///< of the device
  std::uint32_t largest_fit;  ///< that never fragments below; what `auto` gives
};

/// The layers of a path, the outermost first; an error where nothing fits.
[[nodiscard]] Result<std::vector<Layer>> plan_layers(const Path& path);

/// A datagram on its way: what each device is given, what it sends, what is lost.
struct Step {
  std::string device;
  std::vector<std::uint32_t> enter;  ///< packets that come to the device
  std::vector<std::uint32_t> taken;  ///< those of them, or their fragments, that fit it
  std::vector<std::uint32_t> sent;   ///< as they go down from here, with all headers
  bool fragmented = false;           ///< what came did not fit
  bool lost = false;                 ///< all or a part of it
};

/// Where the packets come from decides what happens to those that do not fit.
enum class Entry : std::uint8_t {
  bridged,  ///< frames of other hosts: too large a frame is lost
  routed,   ///< this host fragments IPv4
};

struct Journey {
  std::vector<std::uint32_t> from_host;  ///< packets that the host sends
  std::vector<Step> steps;               ///< the innermost tunnel first, the wire last
  [[nodiscard]] const std::vector<std::uint32_t>& on_wire() const { return steps.back().sent; }
  [[nodiscard]] bool lost() const;
};

/// A packet of `size` bytes into the innermost tunnel.
[[nodiscard]] Journey send_packet(const Path& path, const std::vector<Layer>& layers,
                                  std::uint32_t size, Entry entry);
/// `ping -s payload` from a host whose own MTU is `host_mtu`: the host fragments before.
[[nodiscard]] Journey send_ping(const Path& path, const std::vector<Layer>& layers,
                                std::uint32_t payload, std::uint32_t host_mtu, Entry entry);

/// The packets that become of one on a link of this MTU; `size` itself where it fits.
[[nodiscard]] std::vector<std::uint32_t> fragment(std::uint32_t size, std::uint32_t mtu, bool ipv6);

/// What somebody should know before it hurts.
[[nodiscard]] std::vector<std::string> warnings(const Path& path, const std::vector<Layer>& layers);

/// Lines for dnsmasq that tell hosts on `interface` the MTU: DHCP's option 26, and router
/// advertisements.
[[nodiscard]] std::vector<std::string> dnsmasq_lines(const std::string& interface,
                                                     std::uint32_t mtu);

/// The largest TCP segment that fits.
[[nodiscard]] constexpr std::uint32_t mss(std::uint32_t mtu, bool ipv6) {
  return mtu - (ipv6 ? 60 : 40);
}

}  // namespace warren::l3
