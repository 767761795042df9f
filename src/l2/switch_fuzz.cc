// A switch with three ports, and an input that says which frames enter where: of any bytes, with any
// offload header. A frame leaves by other ports than it came in by, each time as it was, or is counted
// as dropped; every buffer comes back.
#include <algorithm>
#include <cstring>

#include "core/fuzzing.h"
#include "core/memory_node.h"
#include "l2/switch_node.h"

namespace {

using namespace warren;

constexpr std::size_t buffers = 64;
constexpr std::size_t hosts = 3;

struct World {
  World() {
    l2::SwitchSettings settings;
    settings.ports = {"a", "b", "c"};
    settings.isolated = {"a", "b"};
    settings.table.max_entries = 8;
    lan = l2::SwitchNodeConfig(settings).create("lan", *loop).value();
    for (std::size_t i = 0; i < hosts; ++i) {
      const auto ports = lan->ports();
      nodes.push_back(std::make_unique<MemoryNode>("host", ports[i]->capabilities()));
      ports[i]->connect(*nodes[i]->ports()[0]);
      nodes[i]->ports()[0]->connect(*ports[i]);
    }
  }
  std::unique_ptr<Loop> loop = Loop::create(Loop::Backend::epoll).value();
  std::unique_ptr<Pool> pool = Pool::create(buffers, 256).value();
  std::vector<std::unique_ptr<MemoryNode>> nodes;
  std::unique_ptr<Node> lan;
};

std::uint64_t all_dropped(const World& world) {
  std::uint64_t sum = 0;
  for (const auto* port : world.lan->ports()) sum += port->received.dropped();
  return sum;
}

// What enters at `from` is there elsewhere, or counted.
void check(World& world, std::size_t from, std::span<const std::byte> frame,
           const OffloadHeader& offload, std::uint64_t dropped_before) {
  std::size_t copies = 0;
  for (std::size_t i = 0; i < hosts; ++i) {
    auto& arrived = world.nodes[i]->arrived();
    require(arrived.size() <= 1 && (arrived.empty() || i != from));
    for (const auto& packet : arrived)
      require(std::ranges::equal(packet.bytes(), frame) && packet.offload() == offload);
    copies += arrived.size();
    arrived.clear();
  }
  const auto dropped = all_dropped(world) - dropped_before;
  require(copies == 0 ? dropped == 1 : dropped == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  auto input = std::as_bytes(std::span(data, size));
  while (input.size() >= 2 + sizeof(OffloadHeader)) {
    const auto from = std::to_integer<std::size_t>(input[0]) % hosts;
    const auto length = std::to_integer<std::size_t>(input[1]);
    OffloadHeader offload;
    std::memcpy(&offload, input.data() + 2, sizeof offload);
    input = input.subspan(2 + sizeof offload);
    const auto frame = input.first(std::min(length, input.size()));
    input = input.subspan(frame.size());
    auto packet = world.pool->allocate();
    packet.resize(frame.size());
    std::ranges::copy(frame, packet.data());
    packet.offload() = offload;
    Batch batch;
    batch.push(std::move(packet));
    const auto before = all_dropped(world);
    world.nodes[from]->inject(batch);
    check(world, from, frame, offload, before);
  }
  std::vector<Packet> all;
  while (auto packet = world.pool->allocate()) all.push_back(std::move(packet));
  require(all.size() == buffers);
  return 0;
}
