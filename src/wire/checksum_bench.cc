#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "wire/checksum.h"

namespace warren::wire {
namespace {

template <class Work>
void run(benchmark::State& state, Work work) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::vector<std::byte> in(size, std::byte{0x5a});
  std::vector<std::byte> out(size);
  for (auto _ : state) {
    benchmark::DoNotOptimize(work(out.data(), in.data(), size));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(20)->Arg(64)->Arg(1448)->Arg(65536);
}

void memcpy_alone(benchmark::State& state) {
  run(state, [](std::byte* out, const std::byte* in, std::size_t size) {
    return std::memcpy(out, in, size);
  });
}
BENCHMARK(memcpy_alone)->Apply(sizes);

void sum(benchmark::State& state) {
  run(state,
      [](std::byte*, const std::byte* in, std::size_t size) { return sum_bytes({in, size}); });
}
BENCHMARK(sum)->Apply(sizes);

void sum_portable(benchmark::State& state) {
  run(state, [](std::byte*, const std::byte* in, std::size_t size) {
    return checksum_kernel::sum_portable(in, size);
  });
}
BENCHMARK(sum_portable)->Apply(sizes);

void copy_and_sum_in_one_pass(benchmark::State& state) {
  run(state, [](std::byte* out, const std::byte* in, std::size_t size) {
    return copy_and_sum(out, {in, size});
  });
}
BENCHMARK(copy_and_sum_in_one_pass)->Apply(sizes);

void copy_then_sum(benchmark::State& state) {
  run(state, [](std::byte* out, const std::byte* in, std::size_t size) {
    std::memcpy(out, in, size);
    return sum_bytes({out, size});
  });
}
BENCHMARK(copy_then_sum)->Apply(sizes);

void update_one_field(benchmark::State& state) {
  std::uint16_t checksum = 0x1234;
  while (state.KeepRunning())
    benchmark::DoNotOptimize(checksum = update_checksum(checksum, 0x4006, 0x3f06));
}
BENCHMARK(update_one_field);

}  // namespace
}  // namespace warren::wire
