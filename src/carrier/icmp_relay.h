/// The ICMP carrier in userspace, for places without eBPF: the same wire format (icmp_codec.h), and
/// either end may also be the kernel's.
///
///     program ──UDP──▶ client relay ══ICMP══▶ server relay ──UDP──▶ service
///     A:p              127.0.0.1:51820        echo requests         from a socket of its own
///                      identifier i                                 for each conversation
///
/// A conversation is what one local UDP address says to the client relay, and on the server what
/// comes from one (address, identifier). It ends when nothing was said for a while.
///
/// Theory of operation. One thread, one loop. Whatever is ready is read in batches and leaves in
/// batches; where UDP comes as a super-packet (UDP_GRO) its parts become messages without being
/// copied, and where consecutive messages belong to one conversation they leave as a super-packet
/// (UDP_SEGMENT). Sending waits for room for a moment, like any sender of UDP.
///
/// Messages of busy conversations take a shortcut past the kernel's IP output (icmp_shortcut.h). IPv4
/// messages that were never fragments come through a packet ring, the others through raw sockets:
///
///                ┌──▶ packet ring ─────────────────────────────────────▶ relay
///     device ────┤                                                        ▲
///                └──▶ defragmentation, routing, firewall ──▶ raw socket ──┘
///
/// What the ring takes (make_ring_filter()) the raw socket refuses, and most of it rules of the kernel
/// have dropped before (echo_diverter.h), on a client if it may set them. So the ring sees messages that
/// the firewall drops, and a server also those that are being forwarded, which it leaves alone. A client
/// that forwards has no ring: replies may be translated on their way to it.
///
/// Datagrams of programs on the same machine come through a ring as well (io/loopback_ring.h).
///
/// Set-up needs CAP_NET_RAW, a server CAP_NET_ADMIN too; running needs no privilege.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <warren/address.h>
#include <warren/counters.h>
#include <warren/loop.h>
#include <warren/result.h>

#include "carrier/ticket.h"
#include "io/message_batch.h"
#include "io/socket_address.h"

namespace warren::carrier {

/// What both ends may be told.
struct IcmpRelayLimits {
  std::size_t conversations = 10000;  ///< a server needs a descriptor for each
  std::chrono::milliseconds idle{180'000};
  bool ring = true;  ///< else all comes behind the firewall, through sockets
};

/// One writer, the loop's thread; any thread may read.
struct IcmpRelayCounters {
  Counter out_packets;  ///< datagrams that left as ICMP
  Counter out_bytes;    ///< with their echo headers
  Counter shortcut;     ///< those of out_packets that took a shortcut (icmp_shortcut.h)
  Counter in_packets;   ///< datagrams that came as ICMP
  Counter in_bytes;     ///< of their payload
  Counter opened;       ///< conversations
  Counter expired;
  Counter evicted;     ///< not answered yet, when the table was full
  Counter pings;       ///< ordinary pings that had our tag by chance, and got their answer
  Counter damaged;     ///< wrong checksum, or not what the filter lets through
  Counter ring;        ///< messages that came through a ring (io/packet_ring.h)
  Counter local_ring;  ///< datagrams of local programs that did (io/loopback_ring.h)
  Counter overrun;     ///< arrived while the ring was full
  Counter unknown;     ///< of no conversation, or not from the server
  Counter table_full;
  Counter no_server;  ///< its address is not known yet
  Counter too_big;    ///< for an interface on the way
  Counter failed;     ///< refused by the kernel, or by the service

  void add_out(const SendBatch::Outcome& outcome) noexcept;
  void add_in(const SendBatch::Outcome& outcome) noexcept;
};

struct NamedCount {
  std::string_view name;
  std::uint64_t value;
};
/// The counters under the names that people see.
[[nodiscard]] std::vector<NamedCount> list_counters(const IcmpRelayCounters& counters);

class IcmpRelay {
 public:
  virtual ~IcmpRelay() = default;
  [[nodiscard]] virtual const IcmpRelayCounters& counters() const noexcept = 0;
  [[nodiscard]] virtual std::size_t conversations() const noexcept = 0;
};

struct IcmpRelayClientConfig {
  SocketAddress listen;
  Ticket ticket;
  IcmpRelayLimits limits{};
  /// A server that is named, not numbered, is looked up again after so long without an answer.
  std::chrono::milliseconds silence{10'000};
};

struct IcmpRelayUser {
  Tag tag;
  SocketAddress to;  ///< the service
};

struct IcmpRelayServerConfig {
  static constexpr std::size_t max_users = 1000;

  std::vector<IcmpRelayUser> users;
  bool any_first = false;          ///< else a WireGuard handshake initiation opens a conversation
  std::optional<IpPrefix> from{};  ///< clients from elsewhere are strangers
  IcmpRelayLimits limits{};
};

/// Runs as long as the object lives, in `loop`.
[[nodiscard]] Result<std::unique_ptr<IcmpRelay>> start_icmp_relay_client(
    Loop& loop, const IcmpRelayClientConfig& config);
[[nodiscard]] Result<std::unique_ptr<IcmpRelay>> start_icmp_relay_server(
    Loop& loop, const IcmpRelayServerConfig& config);

}  // namespace warren::carrier
