/// Which way an Ethernet address is: the forwarding table of a switch, and of a VXLAN.
///
/// An address has two buckets of four entries, one cache line each, in which alone it can be. So a
/// look-up, and learning, touches two cache lines at most, whatever is in the table and whoever sends:
///
///     02:00:00:00:00:01  ─ hash 1 ─▶ | A | B |   | C |
///                        ─ hash 2 ─▶ | D |   |   |   |      a new one goes to the emptier bucket
///
/// The hashes are multiplications with secret numbers (multiply-shift, which is universal), so that a
/// stranger cannot choose addresses that meet in one bucket. The table has twice the entries that it
/// may hold: two full buckets are rare, and then the one that was silent for the longest makes room.
///
/// An address that was not seen for the ageing time is not found any more. What has aged is removed
/// step by step, with each new address that is learnt. A full table learns no more until something
/// ages: a flood of invented addresses does not push the others out.
///
/// No clock: time is a parameter. Memory is allocated once. Not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <warren/address.h>

#include "wire/bytes.h"

namespace warren::l2 {

/// An Ethernet address as a number, its first byte in the highest bits. 0 is nobody's address.
[[nodiscard]] inline std::uint64_t mac_number(std::span<const std::byte, 6> mac) noexcept {
  return std::uint64_t{wire::load16(mac.data())} << 32 | wire::load32(mac.data() + 2);
}
[[nodiscard]] inline std::uint64_t mac_number(const MacAddress& mac) noexcept {
  return mac_number(std::as_bytes(std::span(mac.bytes)));
}
[[nodiscard]] MacAddress to_mac_address(std::uint64_t mac) noexcept;
/// An address of several receivers; broadcast is one of them.
[[nodiscard]] constexpr bool is_group_mac(std::uint64_t mac) noexcept {
  return (mac >> 40 & 1) != 0;
}

class MacTable {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Where an address is: the number of a port or of a peer.
  using Owner = std::uint16_t;
  static constexpr Owner nobody = 0xffff;

  struct Limits {
    std::size_t max_entries = 4096;
    std::chrono::nanoseconds ageing = std::chrono::minutes(5);

    friend bool operator==(const Limits&, const Limits&) = default;
  };
  static constexpr std::size_t most_entries = 1 << 20;

  enum class Learnt : std::uint8_t {
    known,   ///< it was there, or is static: nothing changed but its age
    added,   ///< a new one
    moved,   ///< it was somewhere else
    refused  ///< the table is full
  };

  struct Entry {
    std::uint64_t mac;
    Owner owner;
    bool fixed;  ///< static
    Time seen;
  };

  /// `limits.max_entries` is 1 to most_entries. `seed` is secret and random.
  MacTable(const Limits& limits, std::uint64_t seed);

  /// Who has the address, or `nobody`.
  [[nodiscard]] Owner find(std::uint64_t mac, Time now) const noexcept;
  /// `mac` is a single host's address, not 0, and was seen at `owner`, who is not `nobody`. Static
  /// entries stay as they are.
  Learnt learn(std::uint64_t mac, Owner owner, Time now) noexcept;

  // Set-up.

  /// A static entry: it does not age or move, and is not one of max_entries. False where there is no
  /// room for it.
  [[nodiscard]] bool set_static(std::uint64_t mac, Owner owner) noexcept;
  /// Does nothing where there is no such address.
  void erase(std::uint64_t mac) noexcept;
  /// Everything that is at `owner`, static or not.
  void erase_owner(Owner owner) noexcept;
  void set_ageing(std::chrono::nanoseconds ageing) noexcept { limits_.ageing = ageing; }

  [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
  /// Those that have not aged; `each` takes an Entry. Walks the whole table.
  template <class Each>
  void for_each(Time now, Each&& each) const {
    for (const auto& bucket : buckets_)
      for (const auto& slot : bucket)
        if (slot.used() && !aged(slot, now))
          each(Entry{slot.mac(), slot.owner(), slot.fixed(), slot.seen});
  }
  /// How many at each owner, up to `owners`.
  [[nodiscard]] std::vector<std::size_t> count_by_owner(std::size_t owners, Time now) const;

 private:
  static constexpr Time always = Time::max();  ///< when a static entry was seen
  /// The address in the lower 48 bits of `key`, the owner above. All zero: free.
  struct Slot {
    std::uint64_t key = 0;
    Time seen{};

    static constexpr std::uint64_t mac_mask = (std::uint64_t{1} << 48) - 1;
    [[nodiscard]] bool used() const noexcept { return key != 0; }
    [[nodiscard]] bool fixed() const noexcept { return seen == always; }
    [[nodiscard]] std::uint64_t mac() const noexcept { return key & mac_mask; }
    [[nodiscard]] Owner owner() const noexcept { return static_cast<Owner>(key >> 48); }
  };
  using Bucket = std::array<Slot, 4>;
  static_assert(sizeof(Bucket) == 64);

  [[nodiscard]] bool aged(const Slot& slot, Time now) const noexcept {
    return !slot.fixed() && now - slot.seen >= limits_.ageing;
  }
  [[nodiscard]] std::size_t place(std::uint64_t mac, std::size_t choice) const noexcept {
    return (mac * multipliers_[choice]) >> shift_;
  }
  [[nodiscard]] const Slot* find_slot(std::uint64_t mac) const noexcept;
  [[nodiscard]] Slot* find_slot(std::uint64_t mac) noexcept {
    return const_cast<Slot*>(std::as_const(*this).find_slot(mac));
  }
  [[nodiscard]] Slot* make_room(std::uint64_t mac) noexcept;
  void put(Slot& slot, std::uint64_t mac, Owner owner, Time seen) noexcept;
  void free(Slot& slot) noexcept;
  void clean_step(Time now) noexcept;

  Limits limits_;
  std::array<std::uint64_t, 2> multipliers_;
  unsigned shift_;
  std::vector<Bucket> buckets_;
  std::size_t learnt_ = 0;  ///< entries that are not static, aged ones included
  std::size_t hand_ = 0;    ///< the bucket that is cleaned next
};

}  // namespace warren::l2
