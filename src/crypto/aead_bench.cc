// Time per packet, by backend, size and batch: `aead_bench --benchmark_filter=seal/ipsec-mb`.
#include <benchmark/benchmark.h>

#include <string>

#include "crypto/aead.h"

namespace warren::crypto {
namespace {

void run(benchmark::State& state, Aead::Backend backend, bool sealing) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto count = static_cast<std::size_t>(state.range(1));
  constexpr std::size_t room = 2048;
  auto aead = Aead::create(backend).value();
  const Key key = Key::random();
  std::vector<std::uint8_t> packets(count * room);
  std::vector<AeadJob> jobs(count);
  const auto describe = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      auto* const at = packets.data() + i * room;
      jobs[i] = {&key, i, {at, size}, at, at + size};
    }
  };
  describe();
  aead.seal(jobs);
  // A packet is an iteration. What was opened once is no longer what its tag says; that takes as
  // long to find out.
  while (state.KeepRunningBatch(state.range(1))) {
    describe();
    sealing ? aead.seal(jobs) : aead.open(jobs);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

[[maybe_unused]] const bool registered = [] {
  for (const auto backend : Aead::available()) {
    for (const bool sealing : {true, false}) {
      const auto name = std::string(sealing ? "seal/" : "open/") + std::string(Aead::name(backend));
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        run(state, backend, sealing);
      })->ArgsProduct({{64, 1420}, {1, 8, 64}});
    }
  }
  return true;
}();

}  // namespace
}  // namespace warren::crypto
