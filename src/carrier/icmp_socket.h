/// Raw ICMP sockets that receive and send the echo messages of some users, in batches.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "carrier/icmp_codec.h"
#include "io/message_batch.h"
#include "io/packet_ring.h"

namespace warren::carrier {

/// An echo message that arrived. `payload` lies in the batch that it came in.
struct EchoMessage {
  SocketAddress source;  ///< port 0
  IpAddress local;       ///< where it was sent to
  EchoFields fields;
  std::size_t user = 0;  ///< whose: which of the socket's tags it has
  /// From a ring, which sees it before the kernel has found out whether it is for this machine.
  bool not_routed = false;
  std::span<const std::byte> payload;
};

/// What a message that leaves says, whose it is, and where it goes.
struct EchoTarget {
  EchoFields fields;
  std::size_t user = 0;
  const SocketAddress& to;
  const IpAddress* from = nullptr;  ///< null lets the kernel choose
};

/// One socket, for one address family. Not thread-safe.
class IcmpSocket {
 public:
  /// A client receives replies. A server receives requests that an EchoDiverter has taken from the
  /// kernel. Needs CAP_NET_RAW now, and no privilege later.
  [[nodiscard]] static Result<IcmpSocket> open(bool ipv6, IcmpDirection receives,
                                               std::span<const Tag> tags);
  /// A ring for the IPv4 messages among them that a ring can take.
  [[nodiscard]] static Result<PacketRing> open_ring(IcmpDirection receives,
                                                    std::span<const Tag> tags);
  /// From now on, without those that the ring takes, or with them again.
  [[nodiscard]] Result<> stand_beside_ring(bool ring);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool ipv6() const noexcept { return ipv6_; }
  [[nodiscard]] Tag tag(std::size_t user) const noexcept { return tags_[user]; }

  /// Message `i` of what was received from this socket. Nothing where it is damaged or nobody's.
  [[nodiscard]] std::optional<EchoMessage> read(ReceiveBatch& batch, std::size_t i) const noexcept;

  /// The same of an IPv4 packet from a ring.
  [[nodiscard]] std::optional<EchoMessage> read_packet(std::span<std::byte> packet) const noexcept;

  /// Puts a message into `out`, whose fits(2) the caller has checked. `payload` stays where it is
  /// until `out` is flushed. `copy`: asks for its frame (io/sent_frame.h).
  void write(SendBatch& out, const EchoTarget& target, std::span<const std::byte> payload,
             bool copy = false) const noexcept;

  /// The answer that the kernel would give to an ordinary ping: the same message, as a reply.
  void answer_ping(SendBatch& out, const EchoMessage& ping) const noexcept;

 private:
  IcmpSocket(Fd fd, bool ipv6, IcmpDirection receives, std::span<const Tag> tags);

  [[nodiscard]] std::optional<EchoMessage> read(std::span<std::byte> message, const EchoPath& path,
                                                const SocketAddress& source,
                                                const IpAddress& local) const noexcept;
  [[nodiscard]] std::optional<std::size_t> user_of(const EchoFields& fields) const noexcept;

  Fd fd_;
  bool ipv6_;
  IcmpDirection receives_;
  std::vector<Tag> tags_;
  std::vector<std::pair<Tag, std::size_t>> users_;  // the same, in order, to be found
};

/// For the frames of an IcmpShortcut; it waits for room as long as an IcmpSocket does. Needs
/// CAP_NET_RAW now, and no privilege later.
[[nodiscard]] Result<Fd> open_packet_socket();

}  // namespace warren::carrier
