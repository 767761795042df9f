// Two engines with a session, and an input that says what befalls them: packets with any header for
// one of them to send, messages that are changed, cut, glued, repeated, late or foreign. Whatever
// comes out must have been sent, and every buffer must come back.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/fuzzing.h"
#include "wire/testing.h"
#include "wireguard/engine.h"

namespace {

using namespace warren;
using namespace warren::wireguard;
using Data = wire::testing::Bytes;

/// Enough for what may be staged, and for what one datagram becomes.
constexpr std::size_t buffers = 300;

struct Message {
  Data bytes;
  std::uint16_t size = 0;
};

struct End : EngineOutput {
  End(std::uint8_t number, Pool& packets)
      : pool(packets), key(std::array<std::uint8_t, 32>{number}), engine(*this, pool, aead(), {}) {}
  static crypto::Aead aead() {
    // One that needs no tables of its own: there is one for every input.
    return crypto::Aead::create(crypto::Aead::Backend::openssl).value();
  }
  void send_datagrams(DatagramBatch& datagrams) noexcept override {
    for (std::size_t i = 0; i < datagrams.packets.size(); ++i) {
      const auto b = datagrams.packets.bytes(i);
      sent.push_back({Data(b.begin(), b.end()), datagrams.packets.offload(i).gso_size});
    }
    datagrams.packets.clear();
  }
  void deliver_packets(std::span<const std::span<std::byte>> packets) noexcept override {
    for (const auto packet : packets)
      if (packet.size() < 20 || packet.size() > 65535) std::abort();
    delivered += packets.size();
  }
  void lost_contact(const PublicKey&) noexcept override {}

  Packet packet(const Data& bytes) {
    auto out = pool.allocate();
    if (!out) std::abort();
    out.resize(bytes.size());
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  void receive(const Message& message, Now now) {
    auto bytes = message.bytes;
    engine.receive_datagrams({{{bytes, message.size, Endpoint{{}, 7, 0}}}}, now);
  }
  void meet(const End& other, Now now) {
    DeviceConfig config;
    config.private_key = key;
    config.peers.push_back({.public_key = crypto::x25519_public(other.key),
                            .endpoint = Endpoint{{}, 7, 0},
                            .allowed_ips = {{IpPrefix::parse("10.0.0.0/8").value()}}});
    engine.set_up(true, now);
    if (!engine.configure(config, now)) std::abort();
  }

  Pool& pool;
  crypto::Key key;
  std::vector<Message> sent;
  std::size_t delivered = 0;
  Engine engine;
};

void send(End& end, FuzzInput& input, Now now) {
  wire::testing::PacketSpec spec;
  spec.tcp = input.byte() % 2 == 0;
  spec.payload.resize(input.number());
  auto bytes = wire::testing::build(spec);
  const auto patch = input.byte();
  const auto value = std::byte{input.byte()};
  if (patch % 4 == 0) bytes[patch / 4 % 40 % bytes.size()] = value;
  bytes.resize(std::min<std::size_t>(bytes.size(), 65000));
  auto packet = end.packet(bytes);
  if (input.byte() % 2 == 0) packet.offload() = input.offload();
  Batch batch;
  batch.push(std::move(packet));
  end.engine.receive_packets(batch, now);
  end.engine.flush();
}

void damage(Message& message, FuzzInput& input) {
  const auto what = input.byte();
  const auto at = message.bytes.empty() ? 0 : input.number() % message.bytes.size();
  if (what % 4 == 0 && !message.bytes.empty()) message.bytes[at] ^= std::byte{input.byte()};
  if (what % 4 == 1) message.bytes.resize(at);
  if (what % 4 == 2) message.size = static_cast<std::uint16_t>(input.number());
  if (what % 4 == 3) message.bytes = input.bytes(200);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input{data, size};
  Now now{Time(std::chrono::hours(1)), std::chrono::hours(500000)};
  static const auto pools = std::array{Pool::create(buffers, Pool::super_packet_size).value(),
                                       Pool::create(buffers, Pool::super_packet_size).value()};
  End a(1, *pools[0]);
  End b(2, *pools[1]);
  a.meet(b, now);
  b.meet(a, now);
  for (int step = 0; step < 40 && input.size > 0; ++step) {
    const auto what = input.byte();
    auto& from = (what & 1) != 0 ? a : b;
    auto& to = (what & 1) != 0 ? b : a;
    if (what % 8 < 2) {
      send(from, input, now);
    } else if (what % 8 < 4) {
      const auto elapsed = std::chrono::milliseconds(input.number());
      now.time += elapsed;
      now.wall += elapsed;
      from.engine.expire(now);
    } else if (!from.sent.empty()) {
      const auto at = input.byte() % from.sent.size();
      auto message = from.sent[at];
      if (what % 8 < 6) from.sent.erase(from.sent.begin() + static_cast<std::ptrdiff_t>(at));
      if ((what & 8) != 0) damage(message, input);
      to.receive(message, now);
    }
    if (from.sent.size() > 200) from.sent.clear();
  }
  for (auto* end : {&a, &b}) {
    end->engine.set_up(false, now);
    std::vector<Packet> all;
    while (auto packet = end->pool.allocate()) all.push_back(std::move(packet));
    if (all.size() != buffers) std::abort();
  }
  return 0;
}
