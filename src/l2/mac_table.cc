#include "l2/mac_table.h"

#include <algorithm>
#include <bit>
#include <random>

namespace warren::l2 {

MacAddress to_mac_address(std::uint64_t mac) noexcept {
  MacAddress out;
  for (std::size_t i = 0; i < 6; ++i) out.bytes[i] = static_cast<std::uint8_t>(mac >> (40 - 8 * i));
  return out;
}

MacTable::MacTable(const Limits& limits, std::uint64_t seed) : limits_(limits) {
  limits_.max_entries = std::clamp<std::size_t>(limits.max_entries, 1, most_entries);
  std::mt19937_64 random(seed);
  for (auto& multiplier : multipliers_) multiplier = random() | 1;
  const auto entries = std::bit_ceil(2 * std::max<std::size_t>(limits_.max_entries, 8));
  buckets_.resize(entries / Bucket().size());
  shift_ = static_cast<unsigned>(64 - std::countr_zero(buckets_.size()));
}

const MacTable::Slot* MacTable::find_slot(std::uint64_t mac) const noexcept {
  for (std::size_t choice = 0; choice < multipliers_.size(); ++choice)
    for (const auto& slot : buckets_[place(mac, choice)])
      if (slot.mac() == mac) return &slot;
  return nullptr;
}

MacTable::Owner MacTable::find(std::uint64_t mac, Time now) const noexcept {
  const auto* slot = find_slot(mac);
  return slot != nullptr && slot->used() && !aged(*slot, now) ? slot->owner() : nobody;
}

MacTable::Learnt MacTable::learn(std::uint64_t mac, Owner owner, Time now) noexcept {
  if (auto* slot = find_slot(mac)) {
    const bool same = slot->owner() == owner;
    // A burst has one time, so that mostly nothing is written.
    if (slot->fixed() || (same && slot->seen == now)) return Learnt::known;
    const bool forgotten = aged(*slot, now);
    put(*slot, mac, owner, now);
    return forgotten ? Learnt::added : same ? Learnt::known : Learnt::moved;
  }
  clean_step(now);
  if (learnt_ >= limits_.max_entries) return Learnt::refused;
  auto* slot = make_room(mac);
  if (slot == nullptr) return Learnt::refused;
  put(*slot, mac, owner, now);
  ++learnt_;
  return Learnt::added;
}

// A free slot in the emptier of its buckets. Where there is none, that of the entry that was silent
// for the longest; null where all are static.
MacTable::Slot* MacTable::make_room(std::uint64_t mac) noexcept {
  auto* bucket = &buckets_[place(mac, 0)];
  auto* other = &buckets_[place(mac, 1)];
  const auto used = [](const Bucket& b) { return std::ranges::count_if(b, &Slot::used); };
  if (used(*other) < used(*bucket)) std::swap(bucket, other);
  for (auto& slot : *bucket)
    if (!slot.used()) return &slot;
  Slot* oldest = &(*bucket)[0];
  for (auto* full : {bucket, other})
    for (auto& slot : *full)
      if (slot.seen < oldest->seen) oldest = &slot;
  if (oldest->fixed()) return nullptr;
  free(*oldest);
  return oldest;
}

void MacTable::put(Slot& slot, std::uint64_t mac, Owner owner, Time seen) noexcept {
  slot = {mac | std::uint64_t{owner} << 48, seen};
}

void MacTable::free(Slot& slot) noexcept {
  if (!slot.fixed()) --learnt_;
  slot = {};
}

// Two buckets for each new address: by the time that a table of aged entries would be full again, all
// of them have been removed.
void MacTable::clean_step(Time now) noexcept {
  for (int i = 0; i < 2; ++i) {
    for (auto& slot : buckets_[hand_])
      if (slot.used() && aged(slot, now)) free(slot);
    hand_ = (hand_ + 1) & (buckets_.size() - 1);
  }
}

bool MacTable::set_static(std::uint64_t mac, Owner owner) noexcept {
  erase(mac);
  auto* slot = make_room(mac);
  if (slot == nullptr) return false;
  put(*slot, mac, owner, always);
  return true;
}

void MacTable::erase(std::uint64_t mac) noexcept {
  if (auto* slot = find_slot(mac); slot != nullptr && slot->used()) free(*slot);
}

void MacTable::erase_owner(Owner owner) noexcept {
  for (auto& bucket : buckets_)
    for (auto& slot : bucket)
      if (slot.used() && slot.owner() == owner) free(slot);
}

std::vector<std::size_t> MacTable::count_by_owner(std::size_t owners, Time now) const {
  std::vector<std::size_t> counts(owners);
  for_each(now, [&](const Entry& entry) {
    if (entry.owner < owners) ++counts[entry.owner];
  });
  return counts;
}

}  // namespace warren::l2
