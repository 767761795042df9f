#include "core/buffer_ring.h"

#include <sys/mman.h>

namespace warren {

Result<> BufferRing::open(io_uring& ring) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("map a buffer ring");
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
  registration.ring_entries = count;
  registration.bgid = group;
  if (const int error = ::io_uring_register_buf_ring(&ring, &registration, 0); error < 0) {
    ::munmap(memory, bytes);
    return fail_errno("register a buffer ring with io_uring", -error);
  }
  entries_ = static_cast<io_uring_buf_ring*>(memory);
  ::io_uring_buf_ring_init(entries_);
  for (unsigned id = 0; id < count; ++id)
    empty_ids_[empty_count_++] = static_cast<std::uint8_t>(id);
  return {};
}

void BufferRing::close(io_uring& ring) noexcept {
  ::io_uring_unregister_buf_ring(&ring, group);
  ::munmap(std::exchange(entries_, nullptr), bytes);
  for (auto& packet : lent_) packet = Packet{};
}

// All buffers begin where an offload header would: which stream takes one is not known before.
void BufferRing::refill(Pool& pool) noexcept {
  int added = 0;
  while (empty_count_ > 0) {
    Packet packet = pool.allocate();
    if (!packet) break;
    const unsigned id = empty_ids_[--empty_count_];
    ::io_uring_buf_ring_add(entries_, packet.data() - sizeof(OffloadHeader),
                            static_cast<unsigned>(Pool::super_packet_size + sizeof(OffloadHeader)),
                            static_cast<unsigned short>(id), count - 1, added++);
    lent_[id] = std::move(packet);
  }
  ::io_uring_buf_ring_advance(entries_, added);
}

}  // namespace warren
