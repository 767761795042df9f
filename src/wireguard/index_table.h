/// The 32-bit numbers by which a receiver finds its handshakes and sessions.
///
/// They are random, so that they tell an observer nothing and a stranger guesses none. Since we choose
/// them ourselves, the table needs no collision chains: a number's low bits are its slot, and a number
/// whose slot is taken is not chosen. A look-up is one access.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace warren::wireguard {

/// `Value` is small and copyable: a peer and which of its sessions.
template <class Value>
class IndexTable {
 public:
  /// Holds up to `capacity` values; grows up to that as it fills.
  explicit IndexTable(std::size_t capacity) : capacity_(capacity), slots_(min_slots) {}

  /// A new number for `value`, or nothing where the table is full. `random` returns 32 random bits;
  /// it is called twice on average at most.
  template <class Random>
  [[nodiscard]] std::optional<std::uint32_t> insert(const Value& value, Random&& random) {
    if (size_ >= capacity_) return std::nullopt;
    if (2 * (size_ + 1) > slots_.size()) grow();
    for (;;) {
      const auto index = static_cast<std::uint32_t>(random());
      auto& slot = at(index);
      if (slot.value) continue;
      slot = {index, value};
      ++size_;
      return index;
    }
  }

  /// The value, or null. Valid until the next insert().
  [[nodiscard]] const Value* find(std::uint32_t index) const noexcept {
    const auto& slot = slots_[index & (slots_.size() - 1)];
    return slot.value && slot.index == index ? &*slot.value : nullptr;
  }

  /// Does nothing where there is no such number.
  void erase(std::uint32_t index) noexcept {
    if (find(index) == nullptr) return;
    at(index).value.reset();
    --size_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t min_slots = 16;

  struct Slot {
    std::uint32_t index = 0;
    std::optional<Value> value;
  };

  [[nodiscard]] Slot& at(std::uint32_t index) noexcept {
    return slots_[index & (slots_.size() - 1)];
  }
  /// One more bit tells numbers apart that were apart before, so nothing collides.
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (auto& slot : old)
      if (slot.value) at(slot.index) = std::move(slot);
  }

  std::size_t capacity_;
  std::size_t size_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace warren::wireguard
