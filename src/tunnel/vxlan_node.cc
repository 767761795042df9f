#include "tunnel/vxlan_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "core/log.h"
#include "io/tun_change.h"
#include "linux/change_watch.h"
#include "linux/netlink.h"
#include "offload/unfinished.h"
#include "tunnel/device_writer.h"
#include "tunnel/vxlan_sockets.h"
#include "wire/vxlan_outer.h"
#include "wireguard/engine.h"

namespace warren::tunnel {

using overlay::ReceivedVxlan;
using overlay::VxlanDatagram;
using overlay::VxlanEngine;

namespace {

// Super-packets that are being sent, or on their way into the port.
constexpr std::size_t pool_packets = 4 * Batch::capacity;

class VxlanNode final : public Node,
                        private overlay::VxlanOutput,
                        private VxlanSockets::Receiver,
                        private PacketReceiver {
 public:
  VxlanNode(std::string name, Loop& loop, std::unique_ptr<Pool> pool,
            const l2::MacTable::Limits& table, std::uint64_t seed)
      : Node(std::move(name)),
        loop_(loop),
        pool_(std::move(pool)),
        port_(*this),
        over_(*this),
        engine_(*this, *pool_, port_.received, table, seed),
        way_(loop, [this] { follow_way(); }),
        frames_wait_(loop, [this] { port_.deliver(returned_); }) {}
  ~VxlanNode() override {
    if (sockets_) sockets_->remove(*this);
  }

  [[nodiscard]] Result<> start(const VxlanNodeSettings& settings);

  [[nodiscard]] std::string_view kind() const noexcept override { return "vxlan-user"; }
  [[nodiscard]] std::vector<Port*> ports() override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] bool broken() const noexcept override { return device_error_ != 0; }
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;

 private:
  class EthernetPort final : public Port {
   public:
    explicit EthernetPort(VxlanNode& node) : Port("port"), node_(node) {}
    // Super-packets are cut up where they are encapsulated, and put together on the other side.
    [[nodiscard]] Capabilities capabilities() const noexcept override {
      return Capabilities::super_packets(Medium::ethernet);
    }
    void receive(Batch& batch) noexcept override {
      node_.engine_.send_frames(batch, node_.loop_.now());
    }
    void deliver(Batch& batch) noexcept { emit(batch); }
    void finish_burst() noexcept { emit_flush(); }

   private:
    VxlanNode& node_;
  };

  /// Where messages are IP packets.
  class PacketPort final : public Port {
   public:
    explicit PacketPort(VxlanNode& node) : Port("over"), node_(node) {
      messages_.reserve(wireguard::Engine::max_delivered);
    }
    [[nodiscard]] Capabilities capabilities() const noexcept override {
      return {.medium = Medium::ip};
    }
    [[nodiscard]] Capabilities emits() const noexcept override {
      return Capabilities::super_packets_in_tunnels();
    }
    void receive(Batch& batch) noexcept override {
      for (std::size_t i = 0; i < batch.size(); ++i) add(batch.bytes(i));
      pass_on();
      batch.clear();
    }
    [[nodiscard]] bool borrow(std::span<const std::span<std::byte>> packets) noexcept override {
      for (const auto packet : packets) add(packet);
      pass_on();
      return true;
    }
    void flush() noexcept override { node_.end_burst(); }
    void send(Batch& batch) noexcept { emit(batch); }

   private:
    void add(std::span<std::byte> packet) noexcept;
    void pass_on() noexcept;

    VxlanNode& node_;
    std::vector<ReceivedVxlan> messages_;
  };

  [[nodiscard]] Result<> configure(const VxlanNodeSettings& settings);
  [[nodiscard]] Result<> open_sockets(const VxlanNodeSettings& settings);
  [[nodiscard]] Result<> open_device(const TunConfig& device);
  void follow_way();
  void give_to_port() noexcept;
  // VxlanOutput
  void send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept override;
  void send_packets(Batch& packets) noexcept override { over_.send(packets); }
  void return_frames(Batch& frames) noexcept override;
  void deliver_frames(std::span<const std::span<const std::byte>> frames) noexcept override;
  // VxlanSockets::Receiver
  void receive_datagrams(std::span<const ReceivedVxlan> datagrams) noexcept override {
    from_socket_ = true;
    engine_.receive_datagrams(datagrams, loop_.now());
    from_socket_ = false;
  }
  void end_burst() noexcept override { port_.finish_burst(); }
  // PacketReceiver, of the device
  void on_packets(Batch& batch) noexcept override { engine_.send_frames(batch, loop_.now()); }
  void on_stream_end(int error) noexcept override;

  Loop& loop_;
  VxlanNodeSettings settings_;
  std::optional<IpAddress> source_;
  std::unique_ptr<Pool> pool_;
  EthernetPort port_;  ///< counts for the device too
  PacketPort over_;
  VxlanEngine engine_;
  offload::Coalescer coalescer_{{.medium = Medium::ethernet}};

  std::optional<Tun> device_;
  std::unique_ptr<PacketStream> stream_;
  std::optional<DeviceWriter> to_device_;
  int device_error_ = 0;

  bool from_socket_ = false;  ///< what is being received: it may be unfinished
  std::shared_ptr<VxlanSockets> sockets_;
  std::vector<UdpPort> source_ports_;  ///< what flows leave from, where they are spread
  UdpWriter writer_;
  SendBatch::Outcome sent_;

  std::optional<netlink::Socket> netlink_;
  ChangeWatch way_;  ///< to the peers
  Batch returned_;   ///< for the port: whoever sends does not receive meanwhile
  Timer frames_wait_;
};

// Set-up.

// Where messages come from, if that is told.
Result<std::optional<IpAddress>> source_of(const VxlanNodeSettings& settings,
                                           netlink::Socket& socket) {
  if (settings.local || settings.over.empty()) return settings.local;
  auto address = socket.first_address(settings.over, settings.ipv6);
  if (!address || *address) return address;
  return fail(fmt::format("{} has no {} address, which VXLAN needs as its source: give it one, or "
                          "say local = \"...\"",
                          settings.over, settings.ipv6 ? "IPv6" : "IPv4"),
              EADDRNOTAVAIL);
}

// A mesh in which a host is its own peer is a circle.
Result<> check_peers(const VxlanNodeSettings& settings, netlink::Socket& socket) {
  const auto loopback = socket.index("lo");
  if (!loopback) return tl::unexpected(loopback.error());
  for (const auto& peer : settings.vxlan.peers) {
    if (peer.ipv6 != settings.ipv6)
      return fail(fmt::format("the peer {} is not of the family of the others", peer.to_string()));
    // Where there is no way to it now, there may be one later.
    const auto way = socket.route_to(peer);
    if (way && way->device == *loopback)
      return fail(fmt::format("the peer {} is this host itself", peer.to_string()));
  }
  if (settings.local && settings.local->ipv6 != settings.ipv6)
    return fail(fmt::format("the local address {} is not of the family of the peers",
                            settings.local->to_string()));
  return {};
}

// The MTU of the device by which messages leave; 0 where that is not known.
std::size_t way_mtu(const VxlanNodeSettings& settings, netlink::Socket& socket) {
  if (!settings.over.empty()) {
    const auto link = socket.link(settings.over);
    return link ? link->mtu : 0;
  }
  if (settings.vxlan.peers.empty()) return 0;
  const auto way = socket.route_to(settings.vxlan.peers.front());
  if (!way) return 0;
  const auto link = socket.link(way->device);
  return link ? link->mtu : 0;
}

Result<> VxlanNode::start(const VxlanNodeSettings& settings) {
  // Of the namespace where the sockets are.
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  netlink_.emplace(std::move(*socket));
  if (auto done = way_.start(); !done) return done;
  if (auto done = configure(settings); !done) return done;
  if (auto done = open_sockets(settings); !done) return done;
  return settings.device ? open_device(*settings.device) : Result<>();
}

Result<> VxlanNode::configure(const VxlanNodeSettings& settings) {
  const auto source = source_of(settings, *netlink_);
  if (!source) return tl::unexpected(source.error());
  if (auto good = check_peers(settings, *netlink_); !good) return good;
  if (auto done = engine_.configure(settings.vxlan); !done) return done;
  source_ = *source;
  settings_ = settings;
  engine_.set_way_mtu(way_mtu(settings, *netlink_));
  return {};
}

// While there is no address the former one stays: nothing could be sent anyway.
void VxlanNode::follow_way() {
  engine_.set_way_mtu(way_mtu(settings_, *netlink_));
  const auto source = source_of(settings_, *netlink_);
  if (!source || *source == source_) return;
  log::info("{}: sends from {} now, which is the address of {}", name(), (*source)->to_string(),
            settings_.over);
  source_ = *source;
}

Result<> VxlanNode::open_sockets(const VxlanNodeSettings& settings) {
  auto sockets = VxlanSockets::open(loop_, settings.port);
  if (!sockets) return tl::unexpected(sockets.error());
  if (auto added = (*sockets)->add(settings.vxlan.vni, settings.ipv6, *this); !added) return added;
  sockets_ = std::move(*sockets);
  for (int i = 0; settings.vxlan.source_ports > 1 && i < settings.vxlan.source_ports; ++i) {
    auto opened = VxlanSockets::open_source();
    if (!opened) return tl::unexpected(opened.error());
    source_ports_.push_back(std::move(*opened));
  }
  return {};
}

Result<> VxlanNode::open_device(const TunConfig& device) {
  auto tun = Tun::open(device);
  if (!tun) return tl::unexpected(tun.error());
  device_.emplace(std::move(*tun));
  to_device_.emplace(*device_, port_.sent);
  PacketStream::Config config;
  config.fd = device_->fd();
  config.offload_header = device_->offloads().header;
  config.receiver = this;
  config.read_counters = &port_.received;
  config.write_counters = &port_.sent;
  auto stream = loop_.open_stream(config);
  if (!stream) return tl::unexpected(stream.error());
  stream_ = std::move(*stream);
  return {};
}

void VxlanNode::on_stream_end(int error) noexcept {
  device_error_ = error;
  log::error("{}: the device is gone ({}); `warren reload` brings it back", name(),
             std::strerror(error));
}

Result<bool> VxlanNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const VxlanNodeConfig&>(config).settings();
  if (wanted.port != settings_.port || wanted.vxlan.vni != settings_.vxlan.vni ||
      wanted.ipv6 != settings_.ipv6 || wanted.vxlan.source_ports != settings_.vxlan.source_ports ||
      wanted.vxlan.table.max_entries != settings_.vxlan.table.max_entries ||
      wanted.device.has_value() != settings_.device.has_value() ||
      (wanted.device && needs_new_device(*settings_.device, *wanted.device)))
    return false;
  const auto former = settings_;
  if (auto done = configure(wanted); !done) return fail_in(name(), done.error());
  if (wanted.device == former.device) return true;
  auto changed = change_tun(*device_, *former.device, *wanted.device);
  if (changed) return true;
  // Half of it may have been applied: go back before saying so.
  for (auto restored : {change_tun(*device_, *wanted.device, *former.device), configure(former)})
    if (!restored) log::error("{}: {}", name(), restored.error().message);
  return fail_in(name(), changed.error());
}

std::vector<Port*> VxlanNode::ports() {
  std::vector<Port*> ports;
  if (!settings_.device) ports.push_back(&port_);
  if (settings_.vxlan.packets) ports.push_back(&over_);
  return ports;
}

std::vector<std::pair<std::string, std::string>> VxlanNode::details() const {
  const auto& vxlan = settings_.vxlan;
  std::vector<std::pair<std::string, std::string>> details = {
      {"engine", "user"},
      {"vni", std::to_string(vxlan.vni)},
      {"udp port", std::to_string(settings_.port)},
      {"learning", vxlan.learning ? "yes" : "no"}};
  if (device_) details.emplace_back("device", device_->name());
  if (device_error_ != 0) details.emplace_back("error", std::strerror(device_error_));
  if (source_) details.emplace_back("local", source_->to_string());
  engine_.for_each_peer(loop_.now(), [&](const VxlanEngine::PeerStatus& peer) {
    details.emplace_back("peer " + peer.address.to_string(),
                         fmt::format("{} sent, {} received, {} addresses", peer.sent, peer.received,
                                     peer.addresses));
  });
  if (engine_.too_large() != 0) {
    details.emplace_back("too large for the way", std::to_string(engine_.too_large()));
    details.emplace_back("senders told", std::to_string(engine_.answers()));
  }
  if (sent_.too_big != 0) details.emplace_back("too big to send", std::to_string(sent_.too_big));
  if (sent_.failed != 0) details.emplace_back("not sent", std::to_string(sent_.failed));
  const auto add_drops = [&](std::string_view what, const Counters& counters) {
    for (std::size_t i = 0; i < drop_reason_count; ++i) {
      const auto reason = static_cast<DropReason>(i);
      if (const auto count = counters.dropped(reason); count != 0)
        details.emplace_back(fmt::format("{} dropped, {}", what, drop_reason_name(reason)),
                             std::to_string(count));
    }
  };
  add_drops("messages", engine_.messages);
  if (device_) add_drops("frames from the device", port_.received);
  if (device_) add_drops("frames to the device", port_.sent);
  return details;
}

// The data path.

// Neighbours of one conversation, those to one peer from one source port, are merged.
void VxlanNode::send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept {
  std::array<SocketAddress, VxlanEngine::batch_datagrams> addresses;
  const void* conversation = nullptr;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    const auto& datagram = datagrams[i];
    addresses[i] = {*datagram.to, settings_.port, 0};
    const auto& from = source_ports_.empty() ? sockets_->port() : source_ports_[datagram.source];
    const SendBatch::Datagram out{from.socket_for(datagram.to->ipv6), &addresses[i],
                                  source_ ? &*source_ : nullptr, datagram.segment_size,
                                  datagram.traffic_class};
    const bool same = i > 0 && datagram.to == datagrams[i - 1].to &&
                      datagram.source == datagrams[i - 1].source &&
                      datagram.traffic_class == datagrams[i - 1].traffic_class;
    if (!same) conversation = &addresses[i];
    if (datagram.segment_size != 0)
      writer_.add_segments(out, datagram.bytes);
    else
      writer_.add(conversation, out, datagram.bytes);
  }
  sent_ += writer_.flush();
}

void VxlanNode::PacketPort::add(std::span<std::byte> packet) noexcept {
  received.packets.add(1);
  received.bytes.add(packet.size());
  const auto message = wire::unwrap_vxlan(packet);
  if (!message) return received.drop(DropReason::malformed);
  if (messages_.size() == messages_.capacity()) pass_on();
  messages_.push_back({message->bytes, 0, message->from, message->traffic_class});
}

void VxlanNode::PacketPort::pass_on() noexcept {
  if (!messages_.empty()) node_.engine_.receive_datagrams(messages_, node_.loop_.now());
  messages_.clear();
}

void VxlanNode::deliver_frames(std::span<const std::span<const std::byte>> frames) noexcept {
  const auto offload_of = [&](std::span<const std::byte> frame) {
    return from_socket_ ? offload::find_unfinished(frame, Medium::ethernet) : OffloadHeader();
  };
  if (to_device_) {
    for (const auto frame : frames) to_device_->add(frame, offload_of(frame));
    return to_device_->flush();
  }
  for (const auto frame : frames) {
    if (coalescer_.add(frame, offload_of(frame))) continue;
    give_to_port();
    (void)coalescer_.add(frame, offload_of(frame));
  }
  give_to_port();
}

void VxlanNode::return_frames(Batch& frames) noexcept {
  if (to_device_) {
    for (std::size_t i = 0; i < frames.size(); ++i) to_device_->add(frames.bytes(i));
    to_device_->flush();
    return frames.clear();
  }
  for (std::size_t i = 0; i < frames.size() && !returned_.full(); ++i)
    returned_.push(frames.take(i));
  frames.clear();
  frames_wait_.set(loop_.now());
}

void VxlanNode::give_to_port() noexcept {
  Batch batch;
  for (const auto& item : coalescer_.finish()) {
    auto packet = pool_->allocate();
    if (!packet || !item.copy_to(packet)) {
      port_.sent.drop(packet ? DropReason::too_big : DropReason::no_buffer, item.packets);
      continue;
    }
    if (batch.full()) port_.deliver(batch);
    batch.push(std::move(packet));
  }
  if (!batch.empty()) port_.deliver(batch);
}

}  // namespace

Result<std::unique_ptr<Node>> VxlanNodeConfig::create(const std::string& name, Loop& loop) const {
  auto pool = Pool::create(pool_packets, Pool::super_packet_size);
  if (!pool) return fail_in(name, pool.error());
  std::random_device random;
  const auto seed = std::uint64_t{random()} << 32 | random();
  auto node =
      std::make_unique<VxlanNode>(name, loop, std::move(*pool), settings_.vxlan.table, seed);
  if (auto started = node->start(settings_); !started) return fail_in(name, started.error());
  return node;
}

}  // namespace warren::tunnel
