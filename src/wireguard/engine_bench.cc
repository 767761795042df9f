// The engine alone: from packets to sealed datagrams, from those to packets, and handshakes.
#include <benchmark/benchmark.h>

#include <cstring>

#include "wire/testing.h"
#include "wireguard/engine.h"

namespace warren::wireguard {
namespace {

/// Keeps what the engine sends for the other engine, or throws it away.
class Output : public EngineOutput {
 public:
  void send_datagrams(DatagramBatch& datagrams) noexcept override {
    for (std::size_t i = 0; keep && i < datagrams.packets.size(); ++i) {
      const auto bytes = datagrams.packets.bytes(i);
      sent.emplace_back(bytes.begin(), bytes.end());
      sizes.push_back(datagrams.packets.offload(i).gso_size);
    }
    datagrams.packets.clear();
  }
  void deliver_packets(std::span<const std::span<std::byte>> packets) noexcept override {
    delivered += packets.size();
  }
  void lost_contact(const PublicKey&) noexcept override {}

  bool keep = true;
  std::vector<wire::testing::Bytes> sent;
  std::vector<std::uint16_t> sizes;
  std::size_t delivered = 0;
};

struct End {
  End() : key(crypto::x25519_generate()) { engine.set_up(true, now); }

  void meet(const End& other, const char* allowed) {
    DeviceConfig config;
    config.private_key = key;
    config.peers.push_back({.public_key = crypto::x25519_public(other.key),
                            .endpoint = Endpoint{{}, 1, 0},
                            .allowed_ips = {{IpPrefix::parse(allowed).value()}}});
    if (!engine.configure(config, now)) std::abort();
  }
  [[nodiscard]] Packet packet(const wire::testing::Bytes& bytes) const {
    auto out = pool->allocate();
    if (!out) std::abort();
    out.resize(bytes.size());
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  /// Hands over what the other end sent.
  void receive(Output& from) {
    std::vector<ReceivedDatagram> batch;
    for (std::size_t i = 0; i < from.sent.size(); ++i)
      batch.push_back({from.sent[i], from.sizes[i], {}});
    engine.receive_datagrams(batch, now);
    from.sent.clear();
    from.sizes.clear();
  }

  crypto::Key key;
  std::unique_ptr<Pool> pool = Pool::create(300, Pool::super_packet_size).value();
  Output output;
  Now now{Time(std::chrono::hours(1)), std::chrono::hours(500000)};
  Engine engine{output, *pool, crypto::Aead::create().value(), {}};
};

/// Two ends with a session.
struct Pair {
  Pair() {
    a.meet(b, "10.0.0.2/32");
    b.meet(a, "10.0.0.1/32");
    send(tcp(100), {});
    b.receive(a.output);
    a.receive(b.output);
    b.receive(a.output);
    if (b.output.delivered != 1) std::abort();
  }
  static wire::testing::Bytes tcp(std::size_t payload) {
    wire::testing::PacketSpec spec;
    spec.payload.resize(payload);
    return wire::testing::build(spec);
  }
  void send(const wire::testing::Bytes& bytes, const OffloadHeader& offload) {
    auto packet = a.packet(bytes);
    packet.offload() = offload;
    Batch batch;
    batch.push(std::move(packet));
    a.engine.receive_packets(batch, a.now);
    a.engine.flush();
  }
  End a;
  End b;
};

OffloadHeader super_packet() {
  OffloadHeader offload;
  offload.gso_type = OffloadHeader::gso_tcp4;
  offload.gso_size = 1380;
  offload.flags = OffloadHeader::needs_checksum;
  offload.checksum_start = 20;
  offload.checksum_offset = 16;
  return offload;
}

/// Includes a copy of the super-packet into the pool, as a read from the TUN device does.
void seal_super_packets(benchmark::State& state) {
  Pair pair;
  pair.a.output.keep = false;
  const auto bytes = Pair::tcp(44UL * 1380);
  for (auto _ : state) pair.send(bytes, super_packet());
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(seal_super_packets);

void seal_packets(benchmark::State& state) {
  Pair pair;
  pair.a.output.keep = false;
  const auto bytes = Pair::tcp(static_cast<std::size_t>(state.range(0)) - 40);
  for (auto _ : state) {
    Batch batch;
    while (!batch.full()) batch.push(pair.a.packet(bytes));
    pair.a.engine.receive_packets(batch, pair.a.now);
    pair.a.engine.flush();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * Batch::capacity));
}
BENCHMARK(seal_packets)->Arg(64)->Arg(1420);

/// 44 messages in a datagram, as UDP_GRO delivers them; sealing them is not counted.
void open_super_datagrams(benchmark::State& state) {
  Pair pair;
  const auto bytes = Pair::tcp(44UL * 1380);
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < 8; ++i) pair.send(bytes, super_packet());
    state.ResumeTiming();
    pair.b.receive(pair.a.output);
  }
  if (pair.b.output.delivered != 1 + static_cast<std::size_t>(state.iterations()) * 8 * 44)
    state.SkipWithError("lost");
  state.SetBytesProcessed(static_cast<std::int64_t>(8 * state.iterations() * bytes.size()));
}
BENCHMARK(open_super_datagrams);

/// As responder; the initiator's work is not counted.
void answer_handshakes(benchmark::State& state) {
  Pair pair;
  for (auto _ : state) {
    state.PauseTiming();
    for (auto* end : {&pair.a, &pair.b}) {
      end->now.time += std::chrono::seconds(1);
      end->now.wall += std::chrono::seconds(1);
    }
    pair.b.output.sent.clear();
    pair.b.output.sizes.clear();
    pair.a.engine.set_up(false, pair.a.now);
    pair.a.engine.set_up(true, pair.a.now);
    pair.send(Pair::tcp(1), {});
    state.ResumeTiming();
    pair.b.receive(pair.a.output);
    if (pair.b.output.sent.size() != 1) state.SkipWithError("no answer");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(answer_handshakes);

}  // namespace
}  // namespace warren::wireguard
