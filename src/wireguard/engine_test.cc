#include "wireguard/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "offload/testing.h"
#include "wire/testing.h"
#include "wire/traffic_class.h"
#include "wireguard/testing.h"

namespace warren::wireguard {
namespace {

using namespace std::chrono_literals;
using testing::World;
using wire::testing::PacketSpec;
using Data = wire::testing::Bytes;

struct Datagram {
  Data bytes;
  std::uint16_t message_size = 0;  // of each, where it stands for several
  std::uint8_t traffic_class = 0;
};

class Network;

// A super-packet of TCP, and the packets that it stands for.
struct Super {
  explicit Super(std::size_t payload, std::uint8_t tos = 0) {
    PacketSpec spec;
    spec.tos = tos;
    spec.payload.resize(payload);
    for (std::size_t i = 0; i < payload; ++i) spec.payload[i] = static_cast<std::byte>(i * 31);
    whole = offload::make_super_packet(spec, 1380, true);
    for (const auto& segment : offload::obvious_segments(spec, 1380))
      segments.push_back(wire::testing::build(segment));
  }
  offload::SuperPacket whole;
  std::vector<Data> segments;
};

// An engine with an address, as its owner sees it.
class Host : public EngineOutput {
 public:
  Host(World& world, Network& network, std::uint32_t number)
      : private_key(crypto::x25519_generate()),
        world_(world),
        network_(network),
        pool_(Pool::create(600, Pool::super_packet_size).value()),
        engine(*this, *pool_, crypto::Aead::create().value(), Engine::Options{}) {
    endpoint.address = IpAddress::parse(fmt_address(number)).value();
    endpoint.port = 51820;
  }
  static std::string fmt_address(std::uint32_t number) {
    return "192.0.2." + std::to_string(number);
  }

  [[nodiscard]] PublicKey public_key() const { return crypto::x25519_public(private_key); }
  [[nodiscard]] Now now() const { return {world_.now, world_.now.time_since_epoch() + 500'000h}; }

  void configure(const DeviceConfig& config) {
    ASSERT_TRUE(engine.configure(config, now()));
    watch();
  }
  void set_endpoint(const PublicKey& peer, const Endpoint& found) {
    engine.set_endpoint(peer, found, now());
    watch();
  }
  void send(const Data& bytes, const OffloadHeader& offload = {}) {
    queue(bytes, offload);
    engine.flush();
    watch();
  }
  void queue(const Data& bytes, const OffloadHeader& offload = {}) {
    auto packet = pool_->allocate();
    ASSERT_TRUE(packet);
    packet.resize(bytes.size());
    std::ranges::copy(bytes, packet.data());
    packet.offload() = offload;
    Batch batch;
    batch.push(std::move(packet));
    engine.receive_packets(batch, now());
  }
  void receive(const std::vector<Datagram>& datagrams, const Endpoint& from) {
    std::vector<Data> copies;
    std::vector<ReceivedDatagram> batch;
    for (const auto& datagram : datagrams) {
      copies.push_back(datagram.bytes);
      batch.push_back({copies.back(), datagram.message_size, from, datagram.traffic_class});
    }
    engine.receive_datagrams(batch, now());
    watch();
  }
  [[nodiscard]] std::size_t free_buffers() {
    std::vector<Packet> all;
    while (auto packet = pool_->allocate()) all.push_back(std::move(packet));
    return all.size();
  }
  [[nodiscard]] std::optional<Endpoint> endpoint_of(const Host& peer) const {
    std::optional<Endpoint> out;
    engine.for_each_peer([&](const PeerStatus& status) {
      if (status.public_key == peer.public_key()) out = status.endpoint;
    });
    return out;
  }

  void send_datagrams(DatagramBatch& datagrams) noexcept override;
  void deliver_packets(std::span<const std::span<std::byte>> packets) noexcept override {
    for (const auto packet : packets) delivered.emplace_back(packet.begin(), packet.end());
  }
  void lost_contact(const PublicKey&) noexcept override { ++contacts_lost; }

  crypto::Key private_key;
  Endpoint endpoint;
  std::vector<Data> delivered;
  int contacts_lost = 0;

 private:
  void watch() {
    const auto deadline = engine.deadline();
    if (deadline >= watched_) return;
    watched_ = deadline;
    world_.at(deadline, [this, deadline] {
      if (watched_ != deadline) return;
      watched_ = never;
      engine.expire(now());
      watch();
    });
  }

  World& world_;
  Network& network_;
  std::unique_ptr<Pool> pool_;
  Time watched_ = never;

 public:
  Engine engine;
};

// Carries datagrams between hosts, as well or as badly as a test wants it.
class Network {
 public:
  explicit Network(World& world) : world_(world) {}

  void add(Host& host) { hosts_.push_back(&host); }
  void transmit(const Host& sender, const Endpoint& to, Datagram datagram) {
    log.push_back(datagram);
    const auto from = sender.endpoint;
    if (!split || datagram.message_size == 0) return pass(from, to, std::move(datagram));
    for (std::size_t at = 0; at < datagram.bytes.size(); at += datagram.message_size) {
      const auto end = std::min(at + datagram.message_size, datagram.bytes.size());
      pass(from, to,
           {Data(datagram.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 datagram.bytes.begin() + static_cast<std::ptrdiff_t>(end)),
            0, datagram.traffic_class});
    }
  }

  double loss = 0;
  double duplication = 0;
  double reordering = 0;
  bool split = false;      // into single messages
  bool congested = false;  // marks what may be marked, and what may not
  std::vector<Datagram> log;

 private:
  void pass(const Endpoint& from, const Endpoint& to, Datagram datagram) {
    if (world_.chance(loss)) return;
    if (congested) datagram.traffic_class |= wire::ecn::congested;
    if (world_.chance(duplication)) deliver(from, to, datagram, 10ms);
    deliver(from, to, std::move(datagram), world_.chance(reordering) ? 30ms : 5ms);
  }
  void deliver(const Endpoint& from, const Endpoint& to, Datagram datagram, Duration delay) {
    world_.at(world_.now + delay, [this, from, to, datagram = std::move(datagram)] {
      for (auto* host : hosts_)
        if (host->endpoint == to) host->receive({datagram}, from);
    });
  }

  World& world_;
  std::vector<Host*> hosts_;
};

void Host::send_datagrams(DatagramBatch& datagrams) noexcept {
  for (std::size_t i = 0; i < datagrams.packets.size(); ++i) {
    const auto bytes = datagrams.packets.bytes(i);
    network_.transmit(*this, datagrams.addresses[i],
                      {Data(bytes.begin(), bytes.end()), datagrams.packets.offload(i).gso_size,
                       datagrams.traffic_classes[i]});
  }
  datagrams.packets.clear();
}

// Two hosts: a owns 10.0.0.1 and fd00:0:0:1::1, b owns …2.
class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    for (auto* host : {&a, &b}) {
      network.add(*host);
      host->engine.set_up(true, host->now());
    }
    a.configure(config(a, b, "10.0.0.2/32", "fd00:0:0:1::2/128"));
    b.configure(config(b, a, "10.0.0.1/32", "fd00:0:0:1::1/128"));
    b.configure([&] {  // b learns where a is
      auto config = DeviceConfig{};
      config.peers.push_back({.public_key = a.public_key(), .endpoint = a.endpoint});
      return config;
    }());
  }
  static DeviceConfig config(const Host& host, const Host& peer, const char* ipv4,
                             const char* ipv6) {
    DeviceConfig config;
    config.private_key = host.private_key;
    PeerConfig other;
    other.public_key = peer.public_key();
    other.endpoint = peer.endpoint;
    other.allowed_ips = {{IpPrefix::parse(ipv4).value()}, {IpPrefix::parse(ipv6).value()}};
    config.peers.push_back(other);
    return config;
  }
  static Data packet(std::uint32_t from, std::uint32_t to, std::size_t payload = 100,
                     bool ipv6 = false, std::uint16_t id = 1) {
    PacketSpec spec;
    spec.ipv6 = ipv6;
    spec.source_host = from;
    spec.destination_host = to;
    spec.id = id;
    spec.tcp = false;
    spec.payload.resize(payload);
    for (std::size_t i = 0; i < payload; ++i) spec.payload[i] = static_cast<std::byte>(i * 7 + id);
    return wire::testing::build(spec);
  }
  static Data a_to_b(std::uint16_t id = 1, std::size_t payload = 100) {
    return packet(1, 2, payload, false, id);
  }
  static Data b_to_a(std::uint16_t id = 1) { return packet(2, 1, 100, false, id); }
  void connect() {
    a.send(a_to_b());
    world.run_for(1s);
    ASSERT_EQ(b.delivered.size(), 1U);
    b.delivered.clear();
  }

  World world{1};
  Network network{world};
  Host a{world, network, 1};
  Host b{world, network, 2};
};

TEST_F(EngineTest, TheFirstPacketsWaitForTheHandshakeAndArriveInOrder) {
  std::vector<Data> sent;
  for (std::uint16_t i = 0; i < 100; ++i) {
    sent.push_back(a_to_b(i, 20 + i));
    a.send(sent.back());
  }
  EXPECT_EQ(network.log.size(), 1U) << "one initiation";
  world.run_for(1s);
  EXPECT_EQ(b.delivered, sent);
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_EQ(a.delivered, std::vector<Data>{b_to_a()});
}

TEST_F(EngineTest, CarriesEverySizeOfBothFamilies) {
  connect();
  std::vector<Data> sent;
  for (std::size_t payload = 0; payload <= 1372; payload += 7)
    for (const bool ipv6 : {false, true}) sent.push_back(packet(1, 2, payload, ipv6));
  for (const auto& bytes : sent) {
    network.log.clear();
    a.send(bytes);
    ASSERT_EQ(network.log.size(), 1U);
    const auto sealed = network.log[0].bytes.size() - 32;
    EXPECT_TRUE(sealed % 16 == 0 || sealed == 1420) << sealed;
    EXPECT_LE(sealed, std::max<std::size_t>(1420, bytes.size()));
  }
  world.run_for(1s);
  EXPECT_EQ(b.delivered, sent);
}

TEST_F(EngineTest, SealsSuperPacketsAsTheSegmentsThatTheyAre) {
  connect();
  for (const bool split : {false, true}) {
    for (const std::size_t payload : {2000, 30000, 65000}) {
      network.split = split;
      b.delivered.clear();
      network.log.clear();
      const Super packet(payload);
      a.send(packet.whole.bytes, packet.whole.offload);
      EXPECT_EQ(network.log.size(), payload > 60000 ? 2U : 1U) << "datagrams for the socket";
      world.run_for(1s);
      ASSERT_EQ(b.delivered, packet.segments);
    }
  }
}

TEST_F(EngineTest, FillsDatagramsFromSeveralSuperPackets) {
  connect();
  network.log.clear();
  std::vector<Data> expected;
  const auto queue = [&](const Super& packet) {
    a.queue(packet.whole.bytes, packet.whole.offload);
    std::ranges::copy(packet.segments, std::back_inserter(expected));
  };
  for (int i = 0; i < 3; ++i) queue(Super(std::size_t{30} * 1380));
  queue(Super(2 * 1380 + 100));  // its last message is short: nothing follows there
  queue(Super(std::size_t{2} * 1380));
  queue(Super(std::size_t{3} * 1380, 2));  // other marks
  EXPECT_TRUE(network.log.empty()) << "may wait for more";
  a.engine.flush();

  std::vector<std::size_t> messages;
  for (const auto& datagram : network.log)
    messages.push_back((datagram.bytes.size() + 1451) / datagram.message_size);
  EXPECT_EQ(messages, (std::vector<std::size_t>{44, 44, 2 + 3, 2, 3}));
  EXPECT_EQ(network.log.back().traffic_class, 2);
  world.run_for(1s);
  EXPECT_EQ(b.delivered, expected);
}

TEST_F(EngineTest, WhatWaitsIsSealedBeforeItsSessionEnds) {
  connect();
  const Super packet(5000);
  a.queue(packet.whole.bytes, packet.whole.offload);
  DeviceConfig config;
  config.peers.push_back({.public_key = b.public_key(), .remove = true});
  a.configure(config);
  world.run_for(1s);
  EXPECT_EQ(b.delivered, packet.segments);
}

TEST_F(EngineTest, CongestionMarksGoAlongAndComeBackInwards) {
  connect();
  for (const bool ipv6 : {false, true}) {
    for (const auto tos : std::to_array<std::uint8_t>({0xb8, 0xb9, 0xba, 0xbb})) {
      for (const bool congested : {false, true}) {
        SCOPED_TRACE(::testing::Message() << ipv6 << " " << int{tos} << " " << congested);
        network.congested = congested;
        network.log.clear();
        b.delivered.clear();
        const auto dropped = b.engine.messages.dropped(DropReason::congested);
        PacketSpec spec;
        spec.ipv6 = ipv6;
        spec.tos = tos;
        a.send(wire::testing::build(spec));
        world.run_for(1s);
        ASSERT_FALSE(network.log.empty());  // keepalives may follow
        EXPECT_EQ(network.log[0].traffic_class, tos & 3) << "no more than the mark is shown";
        const bool lost = congested && tos == 0xb8;  // its sender knows no marks
        EXPECT_EQ(b.engine.messages.dropped(DropReason::congested) - dropped, lost ? 1U : 0U);
        ASSERT_EQ(b.delivered.size(), lost ? 0U : 1U);
        if (lost) continue;
        if (congested) spec.tos = 0xbb;
        EXPECT_EQ(b.delivered[0], wire::testing::build(spec));
      }
    }
  }
}

TEST_F(EngineTest, FinishesChecksums) {
  connect();
  auto bytes = a_to_b();
  const auto whole = bytes;
  // As the kernel hands it over: the sum of the pseudo-header alone.
  std::uint32_t sum = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 108;
  sum = (sum & 0xffff) + (sum >> 16);
  bytes[26] = static_cast<std::byte>(sum >> 8);
  bytes[27] = static_cast<std::byte>(sum);
  OffloadHeader offload;
  offload.flags = OffloadHeader::needs_checksum;
  offload.checksum_start = 20;
  offload.checksum_offset = 6;
  a.send(bytes, offload);
  world.run_for(1s);
  EXPECT_EQ(b.delivered, std::vector<Data>{whole});
}

TEST_F(EngineTest, APeerMayMove) {
  connect();
  a.endpoint.address = IpAddress::parse("198.51.100.9").value();
  a.endpoint.port = 4444;
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_TRUE(a.delivered.empty()) << "b does not know yet";
  a.send(a_to_b());
  world.run_for(1s);
  EXPECT_EQ(b.endpoint_of(a), a.endpoint);
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_EQ(a.delivered.size(), 1U);
}

TEST_F(EngineTest, DropsWhatDoesNotBelong) {
  connect();
  a.send(packet(1, 3));
  EXPECT_EQ(a.engine.packets.dropped(DropReason::no_peer), 1U);
  a.send(Data(3, std::byte{0x45}));
  a.send(Data{});
  EXPECT_EQ(a.engine.packets.dropped(DropReason::wrong_medium), 2U);
  a.send(packet(3, 2));
  world.run_for(1s);
  EXPECT_EQ(b.engine.messages.dropped(DropReason::wrong_source), 1U);
  EXPECT_TRUE(b.delivered.empty());
  b.receive({{Data(32, std::byte{9})}, {Data(5, std::byte{4})}, {Data{}}}, a.endpoint);
  EXPECT_EQ(b.engine.messages.dropped(DropReason::malformed), 3U);

  DeviceConfig nowhere;
  nowhere.peers.push_back(
      {.public_key = {9}, .allowed_ips = {{IpPrefix::parse("10.9.0.0/16").value()}}});
  a.configure(nowhere);
  a.send(packet(1, 0x90001));
  EXPECT_EQ(a.engine.packets.dropped(DropReason::no_endpoint), 1U);
}

TEST_F(EngineTest, TakesNothingTwice) {
  for (std::uint16_t i = 0; i < 20; ++i) a.send(a_to_b(i));
  world.run_for(1s);
  EXPECT_EQ(b.delivered.size(), 20U);
  const auto log = network.log;
  for (auto* host : {&a, &b})
    for (int round = 0; round < 2; ++round) host->receive(log, a.endpoint);
  world.run_for(1s);
  EXPECT_EQ(b.delivered.size(), 20U);
  EXPECT_TRUE(a.delivered.empty());
  EXPECT_GE(b.engine.messages.dropped(DropReason::replayed), 40U);
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_EQ(a.delivered.size(), 1U) << "the session is still there";
}

TEST_F(EngineTest, RefusesEveryChangedByte) {
  // The messages of a handshake and of a packet, each held back and delivered with one byte changed.
  network.loss = 1;
  a.send(a_to_b());
  const auto initiation = network.log.at(0);
  for (std::size_t at = 0; at < 132; ++at) {  // MAC2 is not looked at where there is no load
    auto changed = initiation;
    changed.bytes[at] ^= std::byte{0x40};
    b.receive({changed}, a.endpoint);
    if (at % 40 == 39) world.run_for(100ms);
  }
  EXPECT_EQ(network.log.size(), 1U) << "no answer";
  b.receive({initiation}, a.endpoint);
  ASSERT_EQ(network.log.size(), 2U);
  const auto response = network.log[1];
  for (std::size_t at = 0; at < 76; ++at) {
    auto changed = response;
    changed.bytes[at] ^= std::byte{1};
    a.receive({changed}, b.endpoint);
  }
  EXPECT_EQ(network.log.size(), 2U) << "no session";
  a.receive({response}, b.endpoint);
  ASSERT_EQ(network.log.size(), 3U);
  const auto data = network.log[2];
  for (std::size_t at = 0; at < data.bytes.size(); ++at) {
    auto changed = data;
    changed.bytes[at] ^= std::byte{0x80};
    b.receive({changed}, a.endpoint);
  }
  EXPECT_TRUE(b.delivered.empty());
  b.receive({data}, a.endpoint);
  EXPECT_EQ(b.delivered, std::vector<Data>{a_to_b()});
}

TEST_F(EngineTest, PresharedKeysMustAgree) {
  DeviceConfig change;
  change.peers.push_back({.public_key = b.public_key(), .preshared_key = crypto::Key::random()});
  a.configure(change);
  a.send(a_to_b());
  world.run_for(3s);
  EXPECT_TRUE(b.delivered.empty());
  change.peers[0].public_key = a.public_key();
  b.configure(change);
  world.run_for(10s);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineTest, BothMayBeginAtOnce) {
  a.send(a_to_b());
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_EQ(a.delivered.size(), 1U);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineTest, AnswersStrangersWithCookiesUnderLoad) {
  Host stranger(world, network, 3);
  network.add(stranger);
  stranger.engine.set_up(true, stranger.now());
  stranger.configure(config(stranger, b, "10.0.0.2/32", "fd00::/8"));
  network.loss = 1;
  stranger.send(packet(3, 2));
  const auto forged = network.log.at(0);
  for (int i = 0; i < 200; ++i) b.receive({forged}, stranger.endpoint);
  EXPECT_GE(b.engine.messages.dropped(DropReason::under_load), 100U);
  network.loss = 0;
  network.log.clear();

  a.send(a_to_b());
  world.run_for(900ms);
  EXPECT_TRUE(b.delivered.empty());
  ASSERT_EQ(network.log.size(), 2U);
  EXPECT_EQ(network.log[1].bytes.size(), sizeof(CookieReply));
  // The flood goes on while a tries again, with its cookie.
  for (int i = 0; i < 100; ++i)
    world.at(world.now + i * 50ms, [&] {
      for (int j = 0; j < 60; ++j) b.receive({forged}, stranger.endpoint);
    });
  world.run_for(5s);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineTest, ForgetsEverythingWhenItGoesDown) {
  connect();
  a.engine.set_up(false, a.now());
  a.send(a_to_b());
  b.send(b_to_a());
  world.run_for(1s);
  EXPECT_TRUE(a.delivered.empty());
  EXPECT_TRUE(b.delivered.empty());
  a.engine.set_up(true, a.now());
  a.send(a_to_b());
  world.run_for(1s);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineTest, RemovedPeersAreGone) {
  connect();
  b.send(b_to_a());
  DeviceConfig config;
  config.peers.push_back({.public_key = b.public_key(), .remove = true});
  a.configure(config);
  world.run_for(30s);
  EXPECT_TRUE(a.delivered.empty());
  EXPECT_EQ(a.engine.peer_count(), 0U);
  a.send(a_to_b());
  EXPECT_EQ(a.engine.packets.dropped(DropReason::no_peer), 1U);
}

TEST_F(EngineTest, ANewPrivateKeyEndsSessions) {
  connect();
  DeviceConfig config;
  config.private_key = crypto::x25519_generate();
  b.configure(config);
  a.send(a_to_b());
  world.run_for(1s);
  EXPECT_TRUE(b.delivered.empty());
  EXPECT_EQ(b.engine.messages.dropped(DropReason::no_session), 1U);
}

TEST_F(EngineTest, ConfiguresAsTheKernelDoes) {
  DeviceConfig config;
  config.peers.push_back(
      {.public_key = {1}, .allowed_ips = {{IpPrefix::parse("10.7.0.0/16").value()}}});
  config.peers.push_back(
      {.public_key = {2}, .allowed_ips = {{IpPrefix::parse("10.7.9.9/16").value()}}});
  config.peers.push_back({.public_key = {3}, .update_only = true});
  config.peers.push_back({.public_key = a.public_key()});
  a.configure(config);
  EXPECT_EQ(a.engine.peer_count(), 3U) << "nobody new by update_only, and not we ourselves";
  std::map<PublicKey, std::size_t> prefixes;
  a.engine.for_each_peer(
      [&](const PeerStatus& status) { prefixes[status.public_key] = status.allowed_ips.size(); });
  EXPECT_EQ(prefixes[PublicKey{1}], 0U) << "who gets a prefix last takes it";
  EXPECT_EQ(prefixes[PublicKey{2}], 1U);
  config = {};
  config.replace_peers = true;
  a.configure(config);
  EXPECT_EQ(a.engine.peer_count(), 0U);
  EXPECT_TRUE(a.engine.private_key() == a.private_key);
}

TEST_F(EngineTest, PersistentKeepalivesBeginWhenTheInterfaceIsUpAndThePeerIsFound) {
  Host c(world, network, 3);
  network.add(c);
  auto settings = config(c, b, "10.0.0.2/32", "fd00::/8");
  settings.peers[0].endpoint.reset();
  settings.peers[0].persistent_keepalive = 25;
  c.configure(settings);
  DeviceConfig more;
  more.peers.push_back({.public_key = c.public_key()});
  b.configure(more);
  world.run_for(1min);
  c.engine.set_up(true, c.now());
  world.run_for(1min);
  EXPECT_TRUE(network.log.empty()) << "nobody knows where b is";
  c.set_endpoint(b.public_key(), b.endpoint);
  world.run_for(1s);
  EXPECT_EQ(network.log.size(), 3U) << "a handshake, and the packet that confirms it";
  world.run_for(51s);
  EXPECT_EQ(network.log.size(), 5U) << "every 25 s";
  EXPECT_EQ(b.endpoint_of(c), c.endpoint);
}

TEST_F(EngineTest, SilentPeersDoNotTakeAllBuffers) {
  network.loss = 1;
  for (int i = 0; i < 1000; ++i) a.send(a_to_b());
  EXPECT_EQ(a.engine.packets.dropped(DropReason::queue_full), 1000 - Engine::staged_per_peer);
  world.run_for(2min);
  EXPECT_EQ(a.engine.packets.dropped(DropReason::no_session), Engine::staged_per_peer);
  EXPECT_GT(a.contacts_lost, 10);
  EXPECT_EQ(a.free_buffers(), 600U);
}

// Three days of traffic over a bad network: sessions are renewed under it, nothing is delivered twice
// or changed, what is lost is what the network lost.
TEST_F(EngineTest, KeepsGoingForDaysOverABadNetwork) {
  network.loss = network.duplication = network.reordering = 0.05;
  network.split = true;
  std::size_t sent = 0;
  std::function<void()> talk = [&] {
    network.log.clear();
    const auto id = static_cast<std::uint16_t>(++sent);
    const auto size = 100 + (sent >> 16);  // no two are equal
    a.send(packet(1, 2, size, false, id));
    b.send(packet(2, 1, size, false, id));
    world.at(world.now + 1s + Duration(world.random() % 1'000'000'000), talk);
  };
  talk();
  world.run_for(72h);
  for (auto* host : {&a, &b}) {
    EXPECT_GT(host->delivered.size(), sent * 93 / 100);
    EXPECT_LE(host->delivered.size(), sent);
    const std::set<Data> once(host->delivered.begin(), host->delivered.end());
    EXPECT_EQ(once.size(), host->delivered.size());
    const auto& messages = host->engine.messages;
    EXPECT_GT(messages.dropped(DropReason::replayed), sent * 3 / 100) << "duplicates";
    EXPECT_EQ(messages.dropped(DropReason::wrong_source), 0U);
    EXPECT_EQ(messages.dropped(DropReason::wrong_medium), 0U);
    EXPECT_EQ(host->free_buffers(), 600U) << "nothing leaks";
  }
}

}  // namespace
}  // namespace warren::wireguard
