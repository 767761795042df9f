// Handshakes per second of one core, in each role, and how fast forged initiations are dropped.
#include <benchmark/benchmark.h>

#include "wireguard/handshake_testing.h"

namespace warren::wireguard {
namespace {

using namespace testing;
using namespace std::chrono_literals;

// Everything that a responder does: MAC1, opening, accepting, answering, MACs of the answer.
void respond(benchmark::State& state) {
  Pair pair;
  auto now = 0ns;
  while (state.KeepRunning()) {
    state.PauseTiming();
    now += 100ms;
    auto message = *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(now));
    pair.a.jar.stamp(message, at(now));
    state.ResumeTiming();
    if (pair.b.checker.check(message, {}, at(now)) == CookieChecker::Verdict::invalid)
      state.SkipWithError("MAC1 is wrong");
    auto answered = answer(pair.b, message, 2, at(now));
    if (!answered) return state.SkipWithError("not answered");
    pair.b.jar.stamp(answered->message, at(now));
    benchmark::DoNotOptimize(answered);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(respond);

void initiate(benchmark::State& state) {
  Pair pair;
  while (state.KeepRunning())
    benchmark::DoNotOptimize(pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(initiate);

// A whole handshake, both ends.
void both_ends(benchmark::State& state) {
  Pair pair;
  auto now = 0ns;
  while (state.KeepRunning()) {
    now += 100ms;
    if (!shake_hands(pair.a, pair.b, now)) state.SkipWithError("no handshake");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(both_ends);

void drop_wrong_mac1(benchmark::State& state) {
  Pair pair;
  const Initiation message;
  while (state.KeepRunning()) benchmark::DoNotOptimize(pair.b.checker.check(message, {}, at(1s)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(drop_wrong_mac1);

// By those who know the public key but have no cookie: what each costs under load.
void answer_with_cookie(benchmark::State& state) {
  Pair pair;
  auto message = *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  pair.a.jar.stamp(message, at(1s));
  const Buffer source(6);
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(pair.b.checker.check(message, source, at(1s)));
    benchmark::DoNotOptimize(pair.b.checker.reply(message, source, at(1s)));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(answer_with_cookie);

}  // namespace
}  // namespace warren::wireguard
