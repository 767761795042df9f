/// One VXLAN (RFC 7348): Ethernet frames in, UDP datagrams to peers out, and the other way round.
///
///                frames                                              datagrams
///     port  ──▶ send_frames() ─▶ look up, segment, encapsulate ─▶ VxlanOutput::send_datagrams() ──▶ UDP
///     port  ◀── VxlanOutput::deliver_frames() ◀── check, learn ◀── receive_datagrams()         ◀── UDP
///
///     a message:   | outer IP | UDP | VXLAN 8 | Ethernet frame |
///
/// Peers are listed, and each lists the others (many to many). A frame for an address that is known to
/// be behind a peer goes there; a frame for anybody else, or for everybody, goes to every peer
/// (head-end replication): all get the same bytes, which are written once. Frames from the network
/// never go back to it, so that a full mesh makes no circle. Messages of strangers are dropped: VXLAN
/// authenticates nobody, and the list is all that there is.
///
/// Where another node takes IP packets (VxlanConfig::packets), nothing is cut up here: the outer
/// headers are put in front of the super-packet, which leaves as it is (OffloadHeader::is_tunnelled).
///
/// Congestion marks go outwards and come back as RFC 6040 has it; a super-packet has one traffic class,
/// and so has each datagram.
///
/// A datagram may stand for several messages of equal size, of which the last may be shorter, as with
/// UDP_SEGMENT and UDP_GRO. The segments of a super-packet are written into one such datagram, each
/// straight behind its VXLAN header; frames of their own get the header in front, where they lie. A
/// super-packet of 64 KiB is longer than a datagram once its segments have their headers, so what the
/// same peer gets next goes on where it ends, while the sizes agree:
///
///     super-packets, frames:  | 0 … 44 |  | 0 … 44 |  | 0 |
///     datagrams:              | 0 … 41 |  | 42 43 44 0 … 38 |  | 39 … 44 0 |
///
/// The engine owns no descriptor, clock or thread: time is a parameter. Its owner calls it from one
/// thread, and not from within the output.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <warren/address.h>
#include <warren/batch.h>
#include <warren/counters.h>
#include <warren/result.h>

#include "l2/mac_table.h"

namespace warren::overlay {

struct VxlanConfig {
  /// An address that is always behind one of the peers.
  struct StaticAddress {
    MacAddress mac;
    IpAddress peer;
    friend bool operator==(const StaticAddress&, const StaticAddress&) = default;
  };

  /// Messages leave as IP packets from here, VxlanOutput::send_packets().
  struct Packets {
    IpAddress from;
    std::uint16_t port;  ///< of all
    friend bool operator==(const Packets&, const Packets&) = default;
  };

  std::uint32_t vni = 0;  ///< up to wire::VxlanView::max_vni
  std::vector<IpAddress> peers{};
  std::vector<StaticAddress> addresses{};
  bool learning = true;  ///< who is behind a peer, from what the peer sends
  /// What is too large for the way leaves in fragments, also where its sender was told (set_way_mtu):
  /// the segment has promised to carry it.
  bool carries_large = false;
  /// Of outer headers; none: that of the frame. Congestion marks (ECN) always go along.
  std::optional<std::uint8_t> dscp = std::uint8_t{0};
  /// Flows are spread over so many source ports, so that routers and receivers can tell them apart;
  /// 1: all have the same.
  std::uint16_t source_ports = 1;
  std::optional<Packets> packets{};
  l2::MacTable::Limits table{};  ///< the number of entries holds from the start

  friend bool operator==(const VxlanConfig&, const VxlanConfig&) = default;
};

/// A datagram to be sent.
struct VxlanDatagram {
  std::span<const std::byte> bytes;  ///< valid until send_datagrams() returns
  std::size_t segment_size = 0;      ///< 0: it is one message
  const IpAddress* to = nullptr;     ///< the same peer has the same pointer
  std::uint16_t source = 0;          ///< which of the source ports
  std::uint8_t traffic_class = 0;    ///< of the IP header in front of each message
};

/// A datagram that came from the network. The engine changes the bytes.
struct ReceivedVxlan {
  std::span<std::byte> bytes;
  std::size_t segment_size = 0;  ///< 0: it is one message
  IpAddress from;
  std::uint8_t traffic_class = 0;  ///< that it came with
};

class VxlanOutput {
 public:
  virtual ~VxlanOutput() = default;
  /// At most VxlanEngine::batch_datagrams.
  virtual void send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept = 0;
  /// Whole IP packets and super-packets, with VxlanConfig::packets. Takes every packet, and leaves
  /// the batch empty.
  virtual void send_packets(Batch& packets) noexcept = 0;
  /// Frames for those who sent some, that say that those were too large. Takes every frame, and
  /// leaves the batch empty.
  virtual void return_frames(Batch& frames) noexcept = 0;
  /// At most VxlanEngine::batch_frames, in order. They lie in datagrams that were received, until
  /// receive_datagrams() returns.
  virtual void deliver_frames(std::span<const std::span<const std::byte>> frames) noexcept = 0;
};

class VxlanEngine {
 public:
  using Time = l2::MacTable::Time;
  static constexpr std::size_t batch_datagrams = 128;
  static constexpr std::size_t batch_frames = 128;
  static constexpr std::size_t max_peers = 4096;

  struct PeerStatus {
    const IpAddress& address;
    std::uint64_t sent;      ///< messages
    std::uint64_t received;  ///< messages
    std::size_t addresses;   ///< that are known to be behind it
  };

  /// `pool` gives the datagrams of super-packets: of super-packet size.
  /// `frames` counts what send_frames() gets and drops. `seed` is secret and random.
  VxlanEngine(VxlanOutput& output, Pool& pool, Counters& frames, const l2::MacTable::Limits& table,
              std::uint64_t seed);
  VxlanEngine(const VxlanEngine&) = delete;
  VxlanEngine& operator=(const VxlanEngine&) = delete;

  /// Peers that stay keep what was learnt of them. Where the configuration contradicts itself
  /// nothing has changed.
  [[nodiscard]] Result<> configure(const VxlanConfig& config);
  [[nodiscard]] const VxlanConfig& config() const noexcept { return config_; }

  /// The largest IP packet that the way to the peers takes in one piece; 0: not known. The sender of
  /// a frame that comes to more, and that must not be fragmented, is told (too_big.h) where its
  /// destination is known to be behind a peer, and the frame is dropped unless
  /// VxlanConfig::carries_large; everything else leaves in fragments.
  void set_way_mtu(std::size_t mtu) noexcept { way_mtu_ = mtu; }
  /// Frames that came to more than that, a super-packet once; and answers that were given.
  [[nodiscard]] std::uint64_t too_large() const noexcept { return too_large_.value(); }
  [[nodiscard]] std::uint64_t answers() const noexcept { return answers_given_.value(); }

  /// Frames and super-packets for the peers. Leaves the batch empty.
  void send_frames(Batch& batch, Time now) noexcept;
  void receive_datagrams(std::span<const ReceivedVxlan> datagrams, Time now) noexcept;

  /// `each` takes a PeerStatus, in the order of the configuration.
  template <class Each>
  void for_each_peer(Time now, Each&& each) const {
    const auto counts = table_.count_by_owner(peers_.size(), now);
    for (const auto id : everybody_)
      each(PeerStatus{peers_[id]->address, peers_[id]->sent.value(), peers_[id]->received.value(),
                      counts[id]});
  }

  Counters messages;  ///< that came from the network, and those of them that were dropped

 private:
  using PeerId = l2::MacTable::Owner;
  static constexpr PeerId no_peer = l2::MacTable::nobody;

  struct Peer {
    IpAddress address;
    Counter sent;
    Counter received;
  };
  struct AddressHash {
    // Only the configuration puts addresses into the table.
    std::size_t operator()(const IpAddress& address) const noexcept;
  };
  /// Where a frame goes to.
  struct Way {
    std::span<const PeerId> peers;
    std::uint16_t source;
    std::uint8_t traffic_class;
  };

  /// The datagram that was dispatched last, to one peer, where it has room behind its messages.
  struct Open {
    std::size_t message = 0;  ///< bytes of each so far; 0: there is no room
    std::size_t count = 0;
    PeerId peer = no_peer;
    std::uint16_t source = 0;
    std::uint8_t traffic_class = 0;
  };

  [[nodiscard]] static Result<> check(const VxlanConfig& config);
  void set_peers(const std::vector<IpAddress>& addresses);
  [[nodiscard]] PeerId find(const IpAddress& address) const noexcept;

  void send_frame(Packet frame, Time now) noexcept;
  [[nodiscard]] bool is_too_large(const Packet& frame, const Way& way) const noexcept;
  [[nodiscard]] bool answer(const Packet& frame, const Way& way, Time now) noexcept;
  void send_as_packets(Packet frame, const Way& way) noexcept;
  void send_packet(Packet frame, Peer& peer, const Way& way) noexcept;
  void send_whole(Packet frame, const Way& way) noexcept;
  void send_segments(Packet frame, const Way& way) noexcept;
  [[nodiscard]] std::size_t messages_per_datagram(std::size_t message) const noexcept;
  [[nodiscard]] bool is_open_to(const Way& way) const noexcept;
  void append(const Packet& frame) noexcept;
  void extend(Packet datagram, std::size_t count) noexcept;
  [[nodiscard]] Packet allocate() noexcept;
  [[nodiscard]] Packet copy(const Packet& frame, std::size_t headroom) noexcept;
  void dispatch(Packet datagram, const Way& way, std::size_t count) noexcept;
  void send_pending() noexcept;
  void flush() noexcept;
  [[nodiscard]] std::uint16_t source_for(std::span<const std::byte> frame) const noexcept;
  [[nodiscard]] std::uint8_t class_for(std::span<const std::byte> frame) const noexcept;

  void receive_message(std::span<std::byte> message, PeerId from, std::uint8_t traffic_class,
                       Time now) noexcept;
  void deliver_pending() noexcept;

  VxlanOutput& output_;
  Pool& pool_;
  Counters& frames_;
  VxlanConfig config_;
  l2::MacTable table_;
  std::vector<std::unique_ptr<Peer>> peers_;  ///< by PeerId, with holes
  std::vector<PeerId> everybody_;             ///< in the order of the configuration
  std::unordered_map<IpAddress, PeerId, AddressHash> by_address_;

  Batch held_;                 ///< what the datagrams lie in, or the packets to be sent
  std::uint16_t next_id_ = 0;  ///< of IPv4 packets
  std::size_t way_mtu_ = 0;
  Batch answers_;
  Time next_answer_{};  ///< when the next one may be given, or somewhat earlier
  Counter too_large_;
  Counter answers_given_;
  std::array<VxlanDatagram, batch_datagrams> datagrams_;
  std::size_t datagram_count_ = 0;
  Open open_;  ///< the last of them
  std::array<std::span<const std::byte>, batch_frames> delivered_;
  std::size_t delivered_count_ = 0;
};

}  // namespace warren::overlay
