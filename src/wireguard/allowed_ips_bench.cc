// Random look-ups, of which none is predicted by the one before.
#include <benchmark/benchmark.h>

#include <random>

#include "wireguard/allowed_ips.h"

namespace warren::wireguard {
namespace {

using Random = std::mt19937_64;

struct Setup {
  AllowedIps table;
  std::vector<IpAddress> lookups;
};

void run(benchmark::State& state, const Setup& setup) {
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(setup.table.find(setup.lookups[i]));
    i = (i + 1) % setup.lookups.size();
  }
  state.counters["prefixes"] = static_cast<double>(setup.table.size());
}

/// `length` takes the random generator and the address, and says the prefix's length.
template <class Length>
Setup make_setup(std::size_t count, bool ipv6, Length length) {
  Random random(1);
  Setup setup;
  for (std::size_t i = 0; i < count; ++i) {
    IpAddress address;
    address.ipv6 = ipv6;
    if (ipv6)
      for (std::size_t b = 2; b < 16; ++b) address.bytes[b] = static_cast<std::uint8_t>(random());
    else
      address.bytes = {10, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                       static_cast<std::uint8_t>(i)};
    setup.table.insert({address, length(random, address)}, static_cast<PeerId>(i % max_peers));
    setup.lookups.push_back(address);
  }
  std::shuffle(setup.lookups.begin(), setup.lookups.end(), random);
  return setup;
}

/// As people have it: a host address for each peer.
void ipv4_hosts(benchmark::State& state) {
  run(state, make_setup(static_cast<std::size_t>(state.range(0)), false,
                        [](Random&, const IpAddress&) { return 32U; }));
}
BENCHMARK(ipv4_hosts)->Arg(1)->Arg(100)->Arg(10000)->Arg(65535);

void ipv6_networks(benchmark::State& state) {
  run(state, make_setup(static_cast<std::size_t>(state.range(0)), true,
                        [](Random&, const IpAddress&) { return 64U; }));
}
BENCHMARK(ipv6_networks)->Arg(1)->Arg(10000);

/// The worst: every length occurs.
void ipv4_all_lengths(benchmark::State& state) {
  run(state, make_setup(static_cast<std::size_t>(state.range(0)), false,
                        [](Random& r, const IpAddress& a) {
                          return static_cast<unsigned>(r() % (a.bits() + 1));
                        }));
}
BENCHMARK(ipv4_all_lengths)->Arg(10000);

void ipv6_all_lengths(benchmark::State& state) {
  run(state,
      make_setup(static_cast<std::size_t>(state.range(0)), true, [](Random& r, const IpAddress& a) {
        return static_cast<unsigned>(r() % (a.bits() + 1));
      }));
}
BENCHMARK(ipv6_all_lengths)->Arg(10000);

void insert_and_remove(benchmark::State& state) {
  auto setup = make_setup(10000, false, [](Random&, const IpAddress&) { return 32U; });
  const IpPrefix extra{{{192, 0, 2, 1}, false}, 32};
  for (auto _ : state) {
    setup.table.insert(extra, 3);
    setup.table.remove_peer(3);
  }
}
BENCHMARK(insert_and_remove);

}  // namespace
}  // namespace warren::wireguard
