#include <benchmark/benchmark.h>

#include <warren/batch.h>
#include <warren/ring.h>

namespace warren {
namespace {

void allocate_and_free_batch(benchmark::State& state) {
  auto pool = std::move(*Pool::create(256, 2048));
  for (auto _ : state) {
    Batch batch;
    for (std::size_t i = 0; i < Batch::capacity; ++i) batch.push(pool->allocate());
    benchmark::DoNotOptimize(batch);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Batch::capacity));
}
BENCHMARK(allocate_and_free_batch);

void allocate_and_free_packet(benchmark::State& state) {
  auto pool = std::move(*Pool::create(256, 2048));
  for (auto _ : state) benchmark::DoNotOptimize(pool->allocate());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(allocate_and_free_packet);

void move_batch(benchmark::State& state) {
  auto pool = std::move(*Pool::create(Batch::capacity, 2048));
  Batch batch;
  while (!batch.full()) batch.push(pool->allocate());
  for (auto _ : state) {
    Batch moved = std::move(batch);
    benchmark::DoNotOptimize(moved);
    batch = std::move(moved);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Batch::capacity));
}
BENCHMARK(move_batch);

void ring_push_and_pop(benchmark::State& state) {
  auto pool = std::move(*Pool::create(Batch::capacity, 2048));
  Ring<Packet> ring(256);
  Batch batch;
  while (!batch.full()) batch.push(pool->allocate());
  for (auto _ : state) {
    for (std::size_t i = 0; i < Batch::capacity; ++i)
      benchmark::DoNotOptimize(ring.push(batch.take(i)));
    batch.clear();
    Packet packet;
    while (ring.pop(packet)) batch.push(std::move(packet));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Batch::capacity));
}
BENCHMARK(ring_push_and_pop);

}  // namespace
}  // namespace warren
