/// A table of nf_tables that belongs to this process, made in one transaction: all of it, or nothing.
///
/// The table has the flag "owner" (kernel 5.13): nobody else changes it, `nft flush ruleset` leaves it
/// alone, and the kernel removes it with the socket that it was made through, however the process
/// ends. For tables that stay see nftables.h.
///
/// Source: include/uapi/linux/netfilter/nf_tables.h; `nft --debug=netlink` prints what rules are made of.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

/// A set of a table: rules of the same transaction find it by its number.
struct NftSet {
  const char* name;
  std::uint32_t number;
};

/// Registers: NFT_REG_1 to NFT_REG_4 of 16 bytes, which can also be had as
/// NFT_REG32_00 to NFT_REG32_15 of 4 bytes.
class NftTransaction {
 public:
  /// `family`: NFPROTO_INET and the like. The table's name is `prefix` with something behind it that no
  /// other has.
  NftTransaction(std::uint8_t family, const std::string& prefix);
  NftTransaction(const NftTransaction&) = delete;
  NftTransaction& operator=(const NftTransaction&) = delete;

  /// For packets that pass the hook.
  void add_chain(const std::string& name, std::uint32_t hook, std::int32_t priority);
  /// Of 2 bytes each.
  void add_set(const NftSet& set, std::span<const std::uint16_t> values);
  /// Rules put elements there, which stay for so long; beyond `capacity` none. `type`: how nft(8) shows
  /// them, 6 bits for each part.
  void add_growing_set(const NftSet& set, std::uint32_t type, std::uint32_t element_size,
                       std::uint32_t capacity, std::chrono::milliseconds lifetime);
  /// `expressions` calls what follows.
  template <class Fill>
  void add_rule(const std::string& chain, Fill&& expressions) {
    auto* outer = begin_rule(chain);
    expressions();
    end_nest(outer);
  }

  void load_meta(std::uint32_t key, std::uint32_t to);
  /// `base`: NFT_PAYLOAD_NETWORK_HEADER and the like.
  void load(std::uint32_t base, std::uint32_t at, std::uint32_t size, std::uint32_t to);
  /// Writes to the ICMP header; its checksum follows.
  void store_in_icmp(std::uint32_t at, std::uint32_t size, std::uint32_t from);
  /// Writes an address of the IPv6 header; the checksum of the transport header follows.
  void store_address6(std::uint32_t at, std::uint32_t from);
  /// The rule ends here unless the register holds this, or at most this: 2 bytes in network order.
  void require(std::uint32_t in, std::uint16_t value);
  void require_at_most(std::uint32_t in, std::uint16_t value);
  /// The same of 1 byte.
  void require_byte(std::uint32_t in, std::uint8_t value);
  /// The rule ends here unless the register holds this name, as an interface or a kind of one has.
  void require_name(std::uint32_t in, const std::string& name);
  /// The rule ends here unless the set has what the register holds.
  void require_in_set(std::uint32_t in, const NftSet& set);
  /// The rule ends here where the set is full.
  void put_into_set(std::uint32_t from, const NftSet& set);
  /// Flips bits of a register of 2 bytes.
  void flip(std::uint32_t in, std::uint16_t bits);
  void set(std::uint32_t to, std::span<const std::uint8_t> bytes);
  void accept();  ///< by this chain; others may drop it yet
  void drop();

  /// The table lives as long as this socket.
  [[nodiscard]] Result<Fd> commit();

 private:
  void begin(std::uint16_t type, unsigned flags);
  void begin_or_end_batch(std::uint16_t type);
  void begin_message(std::uint16_t type, unsigned flags, std::uint8_t family,
                     std::uint16_t resource);
  [[nodiscard]] nlattr* begin_rule(const std::string& chain);  // up to its expressions
  void begin_set(const NftSet& set, std::uint32_t type, std::uint32_t element_size);
  void put(std::uint16_t type, std::uint32_t value);
  void put(std::uint16_t type, std::uint64_t value);
  void put(std::uint16_t type, const std::string& text);
  [[nodiscard]] nlattr* begin_nest(std::uint16_t type);
  void end_nest(nlattr* outer);
  template <class Fill>
  void nest(std::uint16_t type, Fill&& fill) {
    auto* outer = begin_nest(type);
    fill();
    end_nest(outer);
  }
  template <class Fill>
  void expression(const char* name, Fill&& fill);
  void put_value(std::uint16_t type, std::span<const std::uint8_t> bytes);
  void put_field(std::uint32_t base, std::uint32_t at, std::uint32_t size);
  void compare(std::uint32_t in, std::uint32_t how, std::span<const std::uint8_t> bytes);
  void put_verdict(std::int32_t code);
  Result<> wait_for_answers(int socket);

  // Rules take a few hundred bytes each, elements 16.
  alignas(nlmsghdr) std::array<char, 65536> buffer_{};
  std::size_t size_ = 0;
  nlmsghdr* message_ = nullptr;
  std::uint32_t wanted_ = 0;  // acknowledgments
  std::uint8_t family_;
  std::string table_;
};

}  // namespace warren
