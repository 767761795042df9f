/// Longest prefix match over addresses of one family, by hashing.
///
/// A trie needs one dependent memory access per level, about 15 for 10,000 prefixes. People's tables
/// have few different lengths (/32 and /24; /128 and /64), so this table has one hash over (prefix,
/// length) and a list of the lengths that occur, longest first. A look-up masks the address with each
/// of them and probes once:
///
///     10.0.3.7   /32?  10.0.3.7/32  ──hash──▶ | … |10.0.3.7/32 → peer 12| … |
///                /24?  10.0.3.0/24  ──hash──▶ …
///
/// The probes do not depend on each other, so that the processor overlaps them. What it costs is in
/// the number of lengths: 4 ns for one, 60 ns where all 33 of IPv4 occur, 400 ns for all 129 of IPv6,
/// which nobody has. Remote hosts choose what is looked up, never what is stored, so they cannot
/// lengthen the chains.
#pragma once

#include <array>
#include <bit>
#include <span>
#include <vector>

#include "wireguard/protocol.h"

namespace warren::wireguard {

/// An IPv4 address, first byte in the highest bits.
struct Ipv4Bits {
  static constexpr unsigned bits = 32;
  std::uint32_t value = 0;

  [[nodiscard]] Ipv4Bits masked(unsigned length) const noexcept {
    return {length == 0 ? 0 : value & ~std::uint32_t{0} << (32 - length)};
  }
  [[nodiscard]] std::uint64_t mix() const noexcept { return value; }
  friend bool operator==(const Ipv4Bits&, const Ipv4Bits&) = default;
};

struct Ipv6Bits {
  static constexpr unsigned bits = 128;
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  [[nodiscard]] Ipv6Bits masked(unsigned length) const noexcept {
    if (length == 0) return {};
    if (length <= 64) return {high & ~std::uint64_t{0} << (64 - length), 0};
    return {high, low & ~std::uint64_t{0} << (128 - length)};
  }
  [[nodiscard]] std::uint64_t mix() const noexcept {
    return (high ^ std::rotl(high * 0xa0761d6478bd642fU, 32)) + low * 0xe7037ed1a0b428dbU;
  }
  friend bool operator==(const Ipv6Bits&, const Ipv6Bits&) = default;
};

/// Open addressing with linear probing, at most half full.
template <class Address>
class PrefixTable {
 public:
  PrefixTable() : slots_(16) {}

  /// The owner of the longest prefix that covers `address`, or no_peer.
  [[nodiscard]] PeerId find(Address address) const noexcept {
    for (const auto length : std::span(lengths_).first(length_count_)) {
      const auto& slot = slots_[place(address.masked(length), length)];
      if (slot.owner != no_peer) return slot.owner;
    }
    return no_peer;
  }

  /// The owner of exactly this prefix, whose host bits are clear.
  [[nodiscard]] PeerId owner(Address prefix, unsigned length) const noexcept {
    return slots_[place(prefix, length)].owner;
  }

  /// `owner` is not no_peer.
  void set(Address prefix, unsigned length, PeerId owner) {
    auto& slot = slots_[place(prefix, length)];
    if (slot.owner == no_peer) {
      slot.prefix = prefix;
      slot.length = static_cast<std::uint8_t>(length);
      ++size_;
      if (++count_[length] == 1) list_lengths();
    }
    slot.owner = owner;
    if (2 * size_ > slots_.size()) grow();
  }

  /// Does nothing where the prefix is not there.
  void erase(Address prefix, unsigned length) noexcept {
    auto hole = place(prefix, length);
    if (slots_[hole].owner == no_peer) return;
    const auto mask = slots_.size() - 1;
    // What was pushed behind the hole by collisions moves up, so that chains have no gaps.
    for (auto at = (hole + 1) & mask; slots_[at].owner != no_peer; at = (at + 1) & mask) {
      const auto home = hash(slots_[at].prefix, slots_[at].length);
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = {};
    --size_;
    if (--count_[length] == 0) list_lengths();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Slot {
    Address prefix{};
    PeerId owner = no_peer;
    std::uint8_t length = 0;
  };

  [[nodiscard]] std::size_t hash(Address prefix, unsigned length) const noexcept {
    const auto mixed = (prefix.mix() ^ length << 3) * 0x9e3779b97f4a7c15U;
    return mixed >> (64 - std::countr_zero(slots_.size()));
  }
  /// Where the prefix is, or where it would go.
  [[nodiscard]] std::size_t place(Address prefix, unsigned length) const noexcept {
    const auto mask = slots_.size() - 1;
    for (auto at = hash(prefix, length);; at = (at + 1) & mask) {
      const auto& slot = slots_[at];
      if (slot.owner == no_peer || (slot.prefix == prefix && slot.length == length)) return at;
    }
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const auto& slot : old)
      if (slot.owner != no_peer) slots_[place(slot.prefix, slot.length)] = slot;
  }
  void list_lengths() noexcept {
    length_count_ = 0;
    for (unsigned length = Address::bits + 1; length-- > 0;)
      if (count_[length] != 0) lengths_[length_count_++] = static_cast<std::uint8_t>(length);
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  std::size_t length_count_ = 0;
  std::array<std::uint8_t, Address::bits + 1> lengths_{};  ///< that occur, longest first
  std::array<std::uint32_t, Address::bits + 1> count_{};   ///< prefixes of each length
};

}  // namespace warren::wireguard
