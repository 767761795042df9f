// What a handshake is made of.
#include <benchmark/benchmark.h>

#include "crypto/blake2s.h"
#include "crypto/x25519.h"

namespace warren::crypto {
namespace {

void exchange(benchmark::State& state) {
  const Key secret = x25519_generate();
  const PublicKey theirs = x25519_public(x25519_generate());
  Key out;
  while (state.KeepRunning()) benchmark::DoNotOptimize(x25519(out, secret, theirs));
}
BENCHMARK(exchange);

void public_key(benchmark::State& state) {
  const Key secret = x25519_generate();
  while (state.KeepRunning()) benchmark::DoNotOptimize(x25519_public(secret));
}
BENCHMARK(public_key);

void hash(benchmark::State& state) {
  const std::vector<std::uint8_t> in(static_cast<std::size_t>(state.range(0)), 0x5a);
  while (state.KeepRunning()) benchmark::DoNotOptimize(blake2s(in));
}
BENCHMARK(hash)->Arg(32)->Arg(64)->Arg(116);

void mac(benchmark::State& state) {
  const Key key = Key::random();
  const std::vector<std::uint8_t> in(static_cast<std::size_t>(state.range(0)), 0x5a);
  while (state.KeepRunning()) benchmark::DoNotOptimize(blake2s_mac(key, in));
}
BENCHMARK(mac)->Arg(60)->Arg(116)->Arg(132);

void derive_two_keys(benchmark::State& state) {
  const Key key = Key::random();
  while (state.KeepRunning()) benchmark::DoNotOptimize(hkdf<2>(key, key));
}
BENCHMARK(derive_two_keys);

}  // namespace
}  // namespace warren::crypto
