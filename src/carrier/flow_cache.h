/// The control plane's side of what the kernel programs cache (bpf/icmp_cache.h): it says when that
/// is out of date, and reads what is counted there.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "carrier/bpf/icmp_abi.h"
#include "carrier/bpf_map.h"

namespace warren::carrier {

/// Nothing that was found out before is believed any more, from the next packet on.
Result<> outdate_cache(int generation_map);

class FlowCache {
 public:
  FlowCache() = default;
  FlowCache(Fd cache, Fd generation)
      : cache_(std::move(cache)), generation_(std::move(generation)) {}

  [[nodiscard]] int cache_fd() const { return cache_.get(); }
  [[nodiscard]] int generation_fd() const { return generation_.get(); }
  /// What begins now is counted from here on: icmp_counts::since.
  [[nodiscard]] Result<std::uint64_t> generation() const;

  struct Contents {
    std::vector<icmp_cached> counted;  ///< those with packets, of all processors
    std::uint64_t settled = 0;         ///< changes when any of them went to the tables
  };
  [[nodiscard]] Result<Contents> read() const;

 private:
  Fd cache_;
  Fd generation_;
};

/// A table whose answers are cached: when a change of it returns, it is in force.
template <class Key, class Value>
class CachedMap : public BpfMap<Key, Value> {
 public:
  CachedMap() = default;
  CachedMap(Fd map, Fd generation)
      : BpfMap<Key, Value>(std::move(map)), generation_(std::move(generation)) {}

  Result<> put(const Key& key, const Value& value) {
    auto done = BpfMap<Key, Value>::put(key, value);
    return done ? outdate_cache(generation_.get()) : done;
  }
  Result<> erase(const Key& key) {
    auto done = BpfMap<Key, Value>::erase(key);
    return done ? outdate_cache(generation_.get()) : done;
  }

 private:
  Fd generation_;
};

}  // namespace warren::carrier
