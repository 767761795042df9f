#include <sys/mman.h>

#include <new>

#include <warren/batch.h>
#include <warren/packet.h>

namespace warren {

using detail::PacketBuffer;

namespace {
constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

std::size_t slot_size(std::size_t packet_size, std::size_t headroom) {
  return round_up(sizeof(PacketBuffer) + headroom + packet_size, 64);
}
}  // namespace

void Packet::free() noexcept {
  buffer_->pool->give_back(buffer_, buffer_);
  buffer_ = nullptr;
}

Result<std::unique_ptr<Pool>> Pool::create(std::size_t count, std::size_t packet_size,
                                           std::size_t headroom) {
  headroom = round_up(headroom, 64);
  const std::size_t mapped = round_up(count * slot_size(packet_size, headroom), 4096);
  void* memory =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return fail_errno("map memory for " + std::to_string(count) + " packets");
  return std::unique_ptr<Pool>(
      new Pool(static_cast<std::byte*>(memory), mapped, count, packet_size, headroom));
}

Pool::Pool(std::byte* memory, std::size_t mapped, std::size_t count, std::size_t packet_size,
           std::size_t headroom)
    : memory_(memory),
      mapped_(mapped),
      count_(count),
      packet_size_(packet_size),
      headroom_(headroom),
      free_(std::make_unique<PacketBuffer*[]>(count)) {}

Pool::~Pool() { ::munmap(memory_, mapped_); }

Packet Pool::allocate() noexcept {
  if (returned_.load(std::memory_order_relaxed) != nullptr) collect_returned();
  PacketBuffer* buffer;
  if (free_count_ > 0) {
    buffer = free_[--free_count_];
  } else if (fresh_ < count_) {
    const std::size_t slot = slot_size(packet_size_, headroom_);
    buffer = new (memory_ + slot * fresh_++) PacketBuffer{};
    buffer->pool = this;
    buffer->capacity = static_cast<std::uint32_t>(slot - sizeof(PacketBuffer));
  } else {
    return {};
  }
  buffer->begin = static_cast<std::uint32_t>(headroom_);
  buffer->size = 0;
  buffer->offload = {};
  return Packet{buffer};
}

void Pool::give_back(PacketBuffer* first, PacketBuffer* last) noexcept {
  auto* head = returned_.load(std::memory_order_relaxed);
  do {
    last->next = head;
  } while (!returned_.compare_exchange_weak(head, first, std::memory_order_release,
                                            std::memory_order_relaxed));
}

// The whole chain is taken at once, so the ABA problem of lock-free stacks cannot arise.
void Pool::collect_returned() noexcept {
  auto* buffer = returned_.exchange(nullptr, std::memory_order_acquire);
  while (buffer != nullptr) {
    free_[free_count_++] = buffer;
    buffer = buffer->next;
  }
}

void Batch::clear() noexcept {
  std::size_t i = 0;
  while (i < size_) {
    auto* first = buffers_[i++];
    if (first == nullptr) continue;
    auto* last = first;
    for (; i < size_ && (buffers_[i] == nullptr || buffers_[i]->pool == first->pool); ++i) {
      if (buffers_[i] == nullptr) continue;
      last->next = buffers_[i];
      last = buffers_[i];
    }
    first->pool->give_back(first, last);
  }
  size_ = 0;
}

}  // namespace warren
