/// One WireGuard interface: packets in, datagrams out, and the other way round.
///
///               packets                                        datagrams
///     TUN  ──▶ receive_packets()  ──▶ route, segment, seal ──▶ EngineOutput::send_datagrams()  ──▶ UDP
///     TUN  ◀── EngineOutput::deliver_packets() ◀── open, check ◀──  receive_datagrams()       ◀── UDP
///                         expire() when deadline() has passed
///
/// The engine owns no descriptor, clock or thread. Its owner calls it from one thread, tells the time,
/// and must not call it from within the output.
///
/// A datagram may stand for several messages of equal size, of which the last may be shorter, as with
/// UDP_SEGMENT and UDP_GRO: one that is sent has an offload header that says gso_udp and the size.
/// The messages of super-packets are written into such datagrams; each is sealed where it lies.
/// Messages are opened where they arrived, and the packets in them handed out from there.
///
/// Congestion marks (ECN) go along outwards, and come back inwards, as RFC 6040 has it.
///
/// Work is collected and done in batches: up to `batch_jobs` messages of any peers are sealed or
/// opened by one call of crypto::Aead. Order within a peer is kept.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include <warren/batch.h>
#include <warren/counters.h>

#include "crypto/aead.h"
#include "offload/segment.h"
#include "wire/bytes.h"
#include "wireguard/allowed_ips.h"
#include "wireguard/device_config.h"
#include "wireguard/index_table.h"
#include "wireguard/peer.h"
#include "wireguard/rate_limiter.h"

namespace warren::wireguard {

/// Datagrams with where they go to.
struct DatagramBatch {
  Batch packets;
  std::array<Endpoint, Batch::capacity> addresses;            ///< of packet i
  std::array<std::uint8_t, Batch::capacity> traffic_classes;  ///< of its IP header

  /// The caller has checked packets.full().
  void push(Packet packet, const Endpoint& address, std::uint8_t traffic_class) noexcept {
    addresses[packets.size()] = address;
    traffic_classes[packets.size()] = traffic_class;
    packets.push(std::move(packet));
  }
};

/// A datagram that came from the network. The engine changes the bytes.
struct ReceivedDatagram {
  std::span<std::byte> bytes;
  std::size_t message_size = 0;  ///< 0: it is one message
  Endpoint from;
  std::uint8_t traffic_class = 0;  ///< of its IP header
};

class EngineOutput {
 public:
  virtual ~EngineOutput() = default;
  /// Takes every datagram, and leaves the batch empty.
  virtual void send_datagrams(DatagramBatch& datagrams) noexcept = 0;
  /// IP packets of peers that may send them, at most Engine::max_delivered, in order. They lie in
  /// datagrams that were received, until receive_datagrams() returns.
  virtual void deliver_packets(std::span<const std::span<std::byte>> packets) noexcept = 0;
  /// The peer does not answer: its name may have another address now.
  virtual void lost_contact(const PublicKey& peer) noexcept = 0;
};

/// The time by two clocks.
struct Now {
  Time time;
  std::chrono::nanoseconds wall;  ///< since 1970
};

class Engine {
 public:
  static constexpr std::size_t batch_jobs = 128;
  /// Many, so that few super-packets are cut in two where one delivery ends and the next begins.
  static constexpr std::size_t max_delivered = 512;
  static constexpr std::size_t staged_per_peer = 128;
  /// So many handshakes in a second, and strangers have to prove their address first.
  static constexpr unsigned handshakes_without_load = 500;

  struct Options {
    std::size_t mtu = 1420;          ///< of the TUN device: what packets are padded to at most
    std::size_t staged_total = 512;  ///< of all peers, so that silent ones do not take all buffers
  };

  /// `pool` gives the datagrams that the engine makes and the packets that wait for a session; of
  /// super-packet size, and more than staged_total + Batch::capacity of them.
  Engine(EngineOutput& output, Pool& pool, crypto::Aead aead, const Options& options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Set-up: engine_configure.cc.

  /// What concerns the protocol: keys, peers, allowed IPs. Sockets, and with them listen_port and
  /// fwmark, are the owner's. Fails with ENOMEM, half-way, where there are too many peers.
  [[nodiscard]] Result<> configure(const DeviceConfig& config, const Now& now);
  /// The address that a peer's name was found to have. Does nothing where there is no such peer.
  void set_endpoint(const PublicKey& peer, const Endpoint& endpoint, const Now& now);
  /// An interface that is down takes and sends nothing, and has no sessions. It begins down.
  void set_up(bool up, const Now& now);
  void set_mtu(std::size_t mtu) noexcept { options_.mtu = mtu; }
  /// Forgets where a peer's packets leave from, unless `stays` (an Endpoint) says that this is still
  /// right: routes or addresses of this machine have changed.
  template <class Stays>
  void review_sources(Stays&& stays) {
    for (auto& peer : peers_)
      if (peer && peer->endpoint && peer->endpoint->source && !stays(*peer->endpoint))
        peer->endpoint->source.reset();
  }

  /// All zero: none.
  [[nodiscard]] crypto::Key private_key() const;
  [[nodiscard]] std::size_t peer_count() const noexcept { return by_key_.size(); }
  /// `each` takes a PeerStatus.
  template <class Each>
  void for_each_peer(Each&& each) const {
    for (const auto& peer : peers_)
      if (peer) each(status_of(*peer));
  }

  // The data path.

  /// IP packets and super-packets for the peers. Leaves the batch empty. What becomes of them may
  /// wait for more, until flush().
  void receive_packets(Batch& packets, const Now& now) noexcept;
  void flush() noexcept;
  void receive_datagrams(std::span<const ReceivedDatagram> datagrams, const Now& now) noexcept;

  /// When expire() is to be called next; `never` where nothing is to come. It may be too early.
  [[nodiscard]] Time deadline() const noexcept {
    return deadlines_.empty() ? never : deadlines_.top().when;
  }
  void expire(const Now& now) noexcept;

  Counters packets;   ///< that came from the TUN device, and those of them that were dropped
  Counters messages;  ///< that came from the network, and those of them that were dropped

 private:
  struct Deadline {
    Time when;
    PeerId peer;
    bool operator<(const Deadline& other) const noexcept { return when > other.when; }
  };
  struct KeyHash {
    // Only our own configuration puts keys into the table.
    std::size_t operator()(const PublicKey& key) const noexcept {
      return wire::load_raw<std::uint64_t>(reinterpret_cast<const std::byte*>(key.data()));
    }
  };
  /// A transport message on its way through the AEAD.
  struct Incoming {
    std::span<std::byte> packet;  ///< where it is opened
    const ReceivedDatagram* datagram;
    PeerId peer;
    std::uint32_t index;
    std::uint32_t size;  ///< of the message
  };

  // engine_configure.cc
  void set_identity(const crypto::Key& key);
  [[nodiscard]] Result<> configure_peer(const PeerConfig& config, const Now& now);
  [[nodiscard]] Peer* add_peer(const PublicKey& key);
  void remove_peer(Peer& peer) noexcept;
  void erase_sessions(Peer& peer) noexcept;
  [[nodiscard]] Peer* find(const PublicKey& key) const noexcept;
  [[nodiscard]] PeerStatus status_of(const Peer& peer) const noexcept;

  // engine_send.cc
  [[nodiscard]] Peer* route(std::span<const std::byte> packet, DropReason& why) const noexcept;
  void send_or_stage(Peer& peer, Packet packet, const Now& now) noexcept;
  void stage(Peer& peer, const Packet& packet) noexcept;
  void drop_staged(Peer& peer) noexcept;
  void send_staged_or_keepalive(Peer& peer, const Now& now) noexcept;
  void seal(Peer& peer, Session& session, Packet packet) noexcept;
  [[nodiscard]] std::size_t messages_in_last(const Endpoint& to, std::size_t size,
                                             std::uint8_t marks) const noexcept;
  std::span<std::byte> add_messages(const Endpoint& to, std::size_t begun, std::size_t size,
                                    std::size_t bytes, std::uint8_t marks) noexcept;
  void seal_segments(Peer& peer, Session& session, Packet packet) noexcept;
  void seal_alone(Peer& peer, Session& session, Packet packet) noexcept;
  void seal_message(Peer& peer, Session& session, std::span<std::byte> message) noexcept;
  void push_datagram(const Endpoint& to, Packet packet, std::uint8_t marks) noexcept;
  void seal_pending() noexcept;

  // engine_receive.cc
  void receive_message(std::span<std::byte> message, const ReceivedDatagram& datagram,
                       const Now& now) noexcept;
  void receive_transport(std::span<std::byte> message, const ReceivedDatagram& datagram,
                         const Now& now) noexcept;
  void open_pending(const Now& now) noexcept;
  void finish_transport(const Incoming& incoming, std::uint64_t counter, const Now& now) noexcept;
  void deliver(const Peer& peer, std::span<std::byte> packet, std::uint8_t traffic_class) noexcept;
  void flush_packets() noexcept;

  // engine_handshake.cc
  void want_session(Peer& peer, const Now& now) noexcept;
  void send_initiation(Peer& peer, const Now& now) noexcept;
  void receive_initiation(const Initiation& message, const Endpoint& from, const Now& now) noexcept;
  void receive_response(const Response& message, const Endpoint& from, const Now& now) noexcept;
  void receive_cookie(const CookieReply& message, const Now& now) noexcept;
  [[nodiscard]] bool may_answer(const Initiation& message, const Endpoint& from, Time now) noexcept;
  [[nodiscard]] bool under_load(Time now) noexcept;
  void heard_from(Peer& peer, const Endpoint& from, std::size_t size) noexcept;
  template <class Message>
  void send_handshake(Peer& peer, Message& message, const Now& now) noexcept;
  void send_bytes(Bytes bytes, const Endpoint& to) noexcept;
  void arm(Peer& peer) noexcept;
  void act(Peer& peer, const TimerActions& actions, const Now& now) noexcept;
  [[nodiscard]] auto erase_index() noexcept {
    return [this](std::uint32_t index) { indices_.erase(index); };
  }

  EngineOutput& output_;
  Pool& pool_;
  crypto::Aead aead_;
  Options options_;
  bool up_ = false;

  std::optional<Identity> identity_;
  std::optional<CookieChecker> checker_;
  RateLimiter limiter_;
  std::vector<crypto::Locked<Peer>> peers_;  ///< by PeerId, with holes
  std::vector<PeerId> free_ids_;             ///< the holes
  std::unordered_map<PublicKey, PeerId, KeyHash> by_key_;
  AllowedIps allowed_ips_;
  IndexTable<PeerId> indices_;
  std::priority_queue<Deadline> deadlines_;  ///< may name peers whose deadline is later, or gone
  std::size_t staged_ = 0;

  Time load_window_end_ = Time::min();
  unsigned load_count_ = 0;
  Time load_until_ = Time::min();

  DatagramBatch datagrams_;  ///< to be sent, when the jobs are done
  std::array<crypto::AeadJob, batch_jobs> seal_jobs_;
  std::size_t seal_count_ = 0;
  std::array<crypto::AeadJob, batch_jobs> open_jobs_;
  std::array<Incoming, batch_jobs> incoming_;
  std::size_t open_count_ = 0;
  std::array<std::span<std::byte>, max_delivered> delivered_;
  std::size_t delivered_count_ = 0;
};

}  // namespace warren::wireguard
