/// A bounded table of conversations: found by key, aged, never larger than it was made.
///
/// Theory of operation. All entries exist from the start, in one array; a hash table with chains of
/// indices finds them, and two lists keep them in the order of their last packet: those that were
/// answered, and those that were not. Where the table is full, the oldest one that nobody has
/// answered makes room: so a flood of first packets from invented addresses throws out other first
/// packets, and not the conversations that live. The hash is seeded, since the keys come from the
/// network.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace warren::carrier {

/// `Key` has `hash_into(mix)`, which calls `mix(std::uint64_t)` with everything that makes it
/// different, and `==`. Not thread-safe. Pointers to entries stay valid until they are erased.
template <class Key, class Value>
class Conversations {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Entry {
    Key key{};
    Value value{};
    Time last{};
    bool answered = false;

   private:
    friend class Conversations;
    std::uint32_t next_in_bucket = none;
    std::uint32_t newer = none;
    std::uint32_t older = none;
  };

  explicit Conversations(std::size_t capacity)
      : entries_(capacity),
        buckets_(std::bit_ceil(capacity * 2), none),
        seed_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {
    for (auto i = static_cast<std::uint32_t>(capacity); i-- > 0;) {
      entries_[i].next_in_bucket = free_;
      free_ = i;
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return entries_.size(); }

  [[nodiscard]] Entry* find(const Key& key) noexcept {
    for (auto i = buckets_[bucket(key)]; i != none; i = entries_[i].next_in_bucket)
      if (entries_[i].key == key) return &entries_[i];
    return nullptr;
  }

  /// The caller knows that `key` is not there. Null where the table is full of answered
  /// conversations; `evicted(entry)` is called for the one that makes room.
  template <class Evicted>
  [[nodiscard]] Entry* insert(const Key& key, Time now, Evicted&& evicted) {
    if (free_ == none) {
      const auto oldest = lists_[0].oldest;
      if (oldest == none) return nullptr;
      evicted(entries_[oldest]);
      erase(entries_[oldest]);
    }
    const auto i = free_;
    auto& entry = entries_[i];
    free_ = entry.next_in_bucket;
    entry.key = key;
    entry.last = now;
    entry.answered = false;
    auto& head = buckets_[bucket(key)];
    entry.next_in_bucket = head;
    head = i;
    append(i);
    ++size_;
    return &entry;
  }

  void erase(Entry& entry) noexcept {
    const auto i = index(entry);
    unlink(i);
    auto* at = &buckets_[bucket(entry.key)];
    while (*at != i) at = &entries_[*at].next_in_bucket;
    *at = entry.next_in_bucket;
    entry.value = Value{};
    entry.next_in_bucket = free_;
    free_ = i;
    --size_;
  }

  /// A packet of the conversation was seen. The order in the lists is that of whole seconds.
  void touch(Entry& entry, Time now, bool answer) noexcept {
    const bool changes_list = answer && !entry.answered;
    if (!changes_list && now - entry.last < std::chrono::seconds(1)) return;
    const auto i = index(entry);
    unlink(i);
    entry.answered |= answer;
    entry.last = now;
    append(i);
  }

  /// Erases every conversation without a packet since `before`, after `expired(entry)`.
  template <class Expired>
  void expire(Time before, Expired&& expired) {
    for (const auto& list : lists_) {
      while (list.oldest != none && entries_[list.oldest].last < before) {
        auto& entry = entries_[list.oldest];
        expired(entry);
        erase(entry);
      }
    }
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  struct List {
    std::uint32_t newest = none;
    std::uint32_t oldest = none;
  };

  [[nodiscard]] std::uint32_t index(const Entry& entry) const noexcept {
    return static_cast<std::uint32_t>(&entry - entries_.data());
  }
  [[nodiscard]] std::size_t bucket(const Key& key) const noexcept {
    std::uint64_t hash = seed_;
    key.hash_into([&hash](std::uint64_t word) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 32;
    });
    return hash & (buckets_.size() - 1);
  }
  [[nodiscard]] List& list_of(std::uint32_t i) noexcept { return lists_[entries_[i].answered]; }

  void append(std::uint32_t i) noexcept {
    auto& list = list_of(i);
    auto& entry = entries_[i];
    entry.newer = none;
    entry.older = list.newest;
    (list.newest == none ? list.oldest : entries_[list.newest].newer) = i;
    list.newest = i;
  }
  void unlink(std::uint32_t i) noexcept {
    auto& list = list_of(i);
    auto& entry = entries_[i];
    (entry.newer == none ? list.newest : entries_[entry.newer].older) = entry.older;
    (entry.older == none ? list.oldest : entries_[entry.older].newer) = entry.newer;
  }

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> buckets_;
  std::array<List, 2> lists_{};  // not answered, answered
  std::uint32_t free_ = none;
  std::size_t size_ = 0;
  std::uint64_t seed_;
};

}  // namespace warren::carrier
