// One end of a VXLAN, and an input that says what befalls it: datagrams of any bytes, whole or merged,
// of peers and of strangers; frames with any header and offload header; peers that come and go. What
// comes out lies within what went in, every message has our header, and every buffer comes back.
#include <algorithm>
#include <cstring>

#include "core/fuzzing.h"
#include "offload/segment.h"
#include "overlay/vxlan.h"
#include "wire/headers.h"
#include "wire/testing.h"
#include "wire/vxlan.h"
#include "wire/vxlan_outer.h"

namespace {

using namespace warren;
using namespace warren::overlay;
using Data = wire::testing::Bytes;

constexpr std::size_t buffers = 80;
constexpr std::uint32_t vni = 0x010203;

IpAddress peer(std::uint8_t number) {
  IpAddress out;
  out.bytes[3] = number % 4;
  out.ipv6 = number % 2 != 0;
  return out;
}

struct End : VxlanOutput {
  void send_datagrams(std::span<const VxlanDatagram> datagrams) noexcept override {
    require(!datagrams.empty() && datagrams.size() <= VxlanEngine::batch_datagrams);
    for (const auto& datagram : datagrams) {
      require(datagram.bytes.size() <= 65000 && datagram.source < 3);
      const auto step = datagram.segment_size == 0 ? datagram.bytes.size() : datagram.segment_size;
      for (std::size_t at = 0; at < datagram.bytes.size(); at += step) {
        const auto header = wire::VxlanView::parse(datagram.bytes.subspan(at));
        require(header && header->has_vni() && header->vni() == vni);
      }
    }
  }
  void send_packets(Batch& batch) noexcept override {
    require(!batch.empty());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto outer = wire::find_vxlan_outer(batch.bytes(i));
      require(outer && wire::VxlanView(batch.bytes(i).data() + *outer - 8).vni() == vni);
      if (!batch.offload(i).is_super_packet())
        require(wire::unwrap_vxlan(batch.bytes(i)).has_value());
      else if (const auto plan =
                   offload::SegmentPlan::make(batch.bytes(i), batch.offload(i), Medium::ip)) {
        Data segment(plan->segment_size(0));
        plan->write_segment(0, segment.data());
        require(wire::unwrap_vxlan(segment).has_value());
      }
    }
    batch.clear();
  }
  void return_frames(Batch& batch) noexcept override {
    require(!batch.empty());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      require(batch.bytes(i).size() <= 14 + 8 + 1280);
      require(wire::parse_headers(batch.bytes(i), Medium::ethernet).has_value());
    }
    batch.clear();
  }
  void deliver_frames(std::span<const std::span<const std::byte>> list) noexcept override {
    require(!list.empty() && list.size() <= VxlanEngine::batch_frames);
    for (const auto frame : list)
      require(frame.size() >= 14 && frame.data() >= received.data() &&
              frame.data() + frame.size() <= received.data() + received.size());
  }

  void configure(std::uint8_t which) {
    VxlanConfig config;
    config.vni = vni;
    config.source_ports = 3;
    config.table.max_entries = 8;
    for (std::uint8_t i = 0; i < 4; ++i)
      if ((which >> i & 1) != 0) config.peers.push_back(peer(i));
    config.learning = (which & 0x10) == 0;
    config.carries_large = (which & 0x80) != 0;
    engine.set_way_mtu((which & 0x0c) == 0 ? 0 : 1400);
    if ((which & 0x21) == 0x21) config.addresses = {{{{2, 0, 0, 0, 0, 2}}, peer(0)}};
    if ((which & 0x40) != 0) {
      std::erase_if(config.peers, [](const IpAddress& address) { return address.ipv6; });
      config.packets = {peer(0), 4789};
    }
    require(engine.configure(config).has_value());
  }

  Pool& pool = *shared();
  static Pool* shared() {
    static const auto pool = Pool::create(buffers, Pool::super_packet_size).value();
    return pool.get();
  }
  Counters frames;
  Data received;
  VxlanEngine engine{*this, pool, frames, {.max_entries = 8}, 1};
};

void receive(End& end, FuzzInput& input, VxlanEngine::Time now) {
  const auto what = input.byte();
  const auto traffic_class = input.byte();
  const auto from = peer(input.byte());
  const auto segment = input.number() % 200;
  end.received.clear();
  if (what % 2 == 0) wire::testing::put(end.received, (std::uint64_t{8} << 56) | vni << 8, 8);
  wire::testing::put(end.received, input.bytes(input.number() % 600));
  const ReceivedVxlan datagram{end.received, what % 4 < 2 ? segment : 0, from, traffic_class};
  end.engine.receive_datagrams({&datagram, 1}, now);
}

void send(End& end, FuzzInput& input, VxlanEngine::Time now) {
  wire::testing::PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.tcp = input.byte() % 2 == 0;
  spec.ipv6 = input.byte() % 2 == 0;
  spec.payload.resize(input.number());
  auto bytes = input.byte() % 4 == 0 ? input.bytes(100) : wire::testing::build(spec);
  if (!bytes.empty()) bytes[input.byte() % bytes.size()] = std::byte{input.byte()};
  bytes.resize(std::min<std::size_t>(bytes.size(), 65000));
  auto packet = end.pool.allocate();
  packet.resize(bytes.size());
  std::ranges::copy(bytes, packet.data());
  if (input.byte() % 2 == 0) packet.offload() = input.offload();
  Batch batch;
  batch.push(std::move(packet));
  end.engine.send_frames(batch, now);
  require(batch.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input{data, size};
  End end;
  end.configure(0x0f);
  VxlanEngine::Time now{std::chrono::hours(1)};
  for (int step = 0; step < 40 && input.size > 0; ++step) {
    switch (input.byte() % 8) {
      case 0:
        end.configure(input.byte());
        break;
      case 1:
        now += std::chrono::seconds(input.byte());
        break;
      case 2:
      case 3:
        send(end, input, now);
        break;
      default:
        receive(end, input, now);
    }
  }
  std::vector<Packet> all;
  while (auto packet = end.pool.allocate()) all.push_back(std::move(packet));
  require(all.size() == buffers);
  return 0;
}
