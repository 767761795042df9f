#include "carrier/flow_cache.h"

#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace warren::carrier {

// Programs count as well, which a write by system call could undo.
Result<> outdate_cache(int generation_map) {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, generation_map, 0);
  if (mapped == MAP_FAILED) return fail_errno("map the generation of the carrier's cache");
  std::atomic_ref(*static_cast<std::uint64_t*>(mapped)).fetch_add(1);
  ::munmap(mapped, size);
  return {};
}

Result<std::uint64_t> FlowCache::generation() const {
  const std::uint32_t zero = 0;
  std::uint64_t now = 0;
  if (::bpf_map_lookup_elem(generation_.get(), &zero, &now) != 0)
    return fail_errno("read the generation of the carrier's cache");
  return now;
}

Result<FlowCache::Contents> FlowCache::read() const {
  const int cpus = ::libbpf_num_possible_cpus();
  if (cpus < 0) return fail_errno("count the processors", -cpus);
  Contents contents;
  std::vector<icmp_cached> place(static_cast<std::size_t>(cpus));
  for (std::uint32_t i = 0; i < ICMP_CACHE_SIZE; ++i) {
    if (::bpf_map_lookup_elem(cache_.get(), &i, place.data()) != 0)
      return fail_errno("read the carrier's cache");
    for (const auto& cached : place) {
      contents.settled += cached.settled;
      if (cached.packets != 0) contents.counted.push_back(cached);
    }
  }
  return contents;
}

}  // namespace warren::carrier
