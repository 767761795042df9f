// Segmentation and coalescing of 64 KiB of TCP, against copying as many bytes.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>

#include "offload/coalesce.h"
#include "offload/segment.h"
#include "offload/testing.h"

namespace warren::offload {
namespace {

using wire::testing::Bytes;
using wire::testing::PacketSpec;

constexpr std::size_t mss = 1448;

SuperPacket super_packet(bool tcp, bool ipv6) {
  PacketSpec spec;
  spec.tcp = tcp;
  spec.ipv6 = ipv6;
  if (tcp) spec.tcp_options = Bytes(12, std::byte{1});  // as with timestamps
  spec.payload.resize(45 * (tcp ? mss : 1400), std::byte{0x5a});
  return make_super_packet(spec, static_cast<std::uint16_t>(tcp ? mss : 1400), true);
}

void report(benchmark::State& state, std::size_t bytes, std::size_t packets) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
  state.counters["packets/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(packets),
                         benchmark::Counter::kIsRate);
}

void copy_packets(benchmark::State& state) {
  const auto super = super_packet(true, false);
  Bytes out(std::size_t{64} * 2048);
  for (auto _ : state) {
    for (std::size_t i = 0; i < 45; ++i) {
      std::memcpy(out.data() + i * 2048, super.bytes.data() + i * mss, mss);
    }
    benchmark::ClobberMemory();
  }
  report(state, super.bytes.size(), 45);
}
BENCHMARK(copy_packets);

void segment(benchmark::State& state, bool tcp, bool ipv6) {
  const auto super = super_packet(tcp, ipv6);
  Bytes out(std::size_t{64} * 2048);
  for (auto _ : state) {
    const auto plan = SegmentPlan::make(super.bytes, super.offload, Medium::ip);
    for (std::size_t i = 0; i < plan->count(); ++i) plan->write_segment(i, out.data() + i * 2048);
    benchmark::ClobberMemory();
  }
  report(state, super.bytes.size(), 45);
}
BENCHMARK_CAPTURE(segment, tcp4, true, false);
BENCHMARK_CAPTURE(segment, tcp6, true, true);
BENCHMARK_CAPTURE(segment, udp4, false, false);

void segment_in_place(benchmark::State& state) {
  auto super = super_packet(true, false);
  for (auto _ : state) {
    const auto plan = SegmentPlan::make(super.bytes, super.offload, Medium::ip);
    Bytes first(plan->header_length());
    std::memcpy(first.data(), super.bytes.data(), first.size());
    for (std::size_t i = 0; i < plan->count(); ++i)
      benchmark::DoNotOptimize(plan->write_in_place(i, super.bytes));
    std::memcpy(super.bytes.data(), first.data(), first.size());  // a super-packet again
    benchmark::ClobberMemory();
  }
  report(state, super.bytes.size(), 45);
}
BENCHMARK(segment_in_place);

void segment_into_pool(benchmark::State& state) {
  const auto super = super_packet(true, false);
  auto pool = std::move(*Pool::create(256, 1500));
  Counters counters;
  for (auto _ : state) {
    const auto plan = SegmentPlan::make(super.bytes, super.offload, Medium::ip);
    Batch batch;
    benchmark::DoNotOptimize(write_segments(*plan, 0, *pool, batch, counters));
  }
  report(state, super.bytes.size(), 45);
}
BENCHMARK(segment_into_pool);

std::vector<Bytes> packets_of_flows(bool tcp, std::size_t flows) {
  std::vector<PacketSpec> specs(flows);
  std::vector<Bytes> packets;
  for (std::size_t i = 0; i < 45; ++i) {
    auto& spec = specs[i % flows];
    spec.tcp = tcp;
    spec.source_port = static_cast<std::uint16_t>(1000 + i % flows);
    if (tcp) spec.tcp_options = Bytes(12, std::byte{1});
    spec.payload.assign(tcp ? mss : 1400, static_cast<std::byte>(i));
    packets.push_back(build(spec));
    spec.sequence += mss;
    spec.id++;
  }
  return packets;
}

void coalesce(benchmark::State& state, bool tcp, std::size_t flows, bool trusted) {
  const auto packets = packets_of_flows(tcp, flows);
  auto coalescer = std::make_unique<Coalescer>(CoalesceOptions{.trust_checksums = trusted});
  OffloadHeader offload;
  if (trusted) offload.flags = OffloadHeader::checksum_valid;
  std::size_t bytes = 0;
  for (const auto& packet : packets) bytes += packet.size();
  for (auto _ : state) {
    for (const auto& packet : packets) benchmark::DoNotOptimize(coalescer->add(packet, offload));
    const auto items = coalescer->finish();
    if (items.size() != flows) state.SkipWithError("not merged");
    benchmark::ClobberMemory();
  }
  report(state, bytes, packets.size());
}
BENCHMARK_CAPTURE(coalesce, tcp_1_flow, true, 1, false);
BENCHMARK_CAPTURE(coalesce, tcp_15_flows, true, 15, false);
BENCHMARK_CAPTURE(coalesce, udp_1_flow, false, 1, false);
BENCHMARK_CAPTURE(coalesce, tcp_1_flow_trusted, true, 1, true);

void coalesce_and_copy(benchmark::State& state) {
  const auto packets = packets_of_flows(true, 1);
  auto coalescer = std::make_unique<Coalescer>(CoalesceOptions{});
  auto pool = std::move(*Pool::create(4, Pool::super_packet_size));
  for (auto _ : state) {
    for (const auto& packet : packets) benchmark::DoNotOptimize(coalescer->add(packet, {}));
    for (const auto& item : coalescer->finish()) {
      auto packet = pool->allocate();
      benchmark::DoNotOptimize(item.copy_to(packet));
    }
    benchmark::ClobberMemory();
  }
  report(state, packets.size() * packets[0].size(), packets.size());
}
BENCHMARK(coalesce_and_copy);

// Nothing to merge: what the attempt costs.
void coalesce_acknowledgments(benchmark::State& state) {
  const auto ack = build(PacketSpec{});
  auto coalescer = std::make_unique<Coalescer>(CoalesceOptions{});
  for (auto _ : state) {
    for (std::size_t i = 0; i < 64; ++i) benchmark::DoNotOptimize(coalescer->add(ack, {}));
    benchmark::DoNotOptimize(coalescer->finish());
  }
  report(state, 64 * ack.size(), 64);
}
BENCHMARK(coalesce_acknowledgments);

}  // namespace
}  // namespace warren::offload
