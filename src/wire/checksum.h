/// The Internet checksum: RFC 1071, incremental updates by RFC 1624.
///
/// Theory of operation. The ones'-complement sum of 16-bit words does not depend on the byte order
/// in which the words are read (RFC 1071, section 2): so all sums here are of words *as they lie in
/// memory*, and a finished checksum is stored as it is, with store_raw(). Sums of parts can be
/// added in any order, as long as each part but the last has an even number of bytes; a Sum has
/// room for some 2^31 of them before it must be folded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

/// A sum that is not yet folded to 16 bits. Sums are added with `+`.
using Sum = std::uint64_t;

/// At most 33 bits wide. A last odd byte counts as if a zero byte followed.
[[nodiscard]] Sum sum_bytes(std::span<const std::byte> bytes) noexcept;

/// Copies `bytes` to `out` (no overlap) and sums them in the same pass.
[[nodiscard]] Sum copy_and_sum(std::byte* out, std::span<const std::byte> bytes) noexcept;

/// The value of a 16-bit or 32-bit field, given in the machine's byte order.
[[nodiscard]] constexpr Sum sum_of(std::uint16_t value) noexcept { return network(value); }
[[nodiscard]] constexpr Sum sum_of(std::uint32_t value) noexcept { return network(value); }

/// Folds the carries in. 0 only for a sum of nothing but zeros.
[[nodiscard]] constexpr std::uint16_t fold(Sum sum) noexcept {
  sum = (sum & 0xffffffffU) + (sum >> 32);
  sum = (sum & 0xffffffffU) + (sum >> 32);
  sum = (sum & 0xffffU) + (sum >> 16);
  sum = (sum & 0xffffU) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xffffU) + (sum >> 16));
}

/// The checksum that belongs into the packet, in memory order.
[[nodiscard]] constexpr std::uint16_t finish(Sum sum) noexcept {
  return static_cast<std::uint16_t>(~fold(sum));
}
/// The same for UDP, where 0 means "none" and 0xffff stands for it (RFC 768).
[[nodiscard]] constexpr std::uint16_t finish_udp(Sum sum) noexcept {
  const auto checksum = finish(sum);
  return checksum == 0 ? std::uint16_t{0xffff} : checksum;
}

/// Whether a sum over data that includes its checksum is right.
[[nodiscard]] constexpr bool is_valid(Sum sum) noexcept { return fold(sum) == 0xffff; }

/// The sum of the pseudo-header. `addresses` are source and destination as they stand in the IP
/// header: 8 bytes of IPv4 or 32 bytes of IPv6. `length` is that of transport header and payload.
[[nodiscard]] Sum sum_pseudo_header4(const std::byte* addresses, std::uint8_t protocol,
                                     std::uint16_t length) noexcept;
[[nodiscard]] Sum sum_pseudo_header6(const std::byte* addresses, std::uint8_t protocol,
                                     std::uint32_t length) noexcept;

/// The checksum after a 16-bit field changed (RFC 1624, equation 3); all in memory order.
[[nodiscard]] constexpr std::uint16_t update_checksum(std::uint16_t checksum, std::uint16_t before,
                                                      std::uint16_t after) noexcept {
  return finish(Sum{static_cast<std::uint16_t>(~checksum)} + static_cast<std::uint16_t>(~before) +
                after);
}
/// The same for any even number of bytes, such as an address: sums from sum_bytes().
[[nodiscard]] constexpr std::uint16_t update_checksum_by_sums(std::uint16_t checksum, Sum before,
                                                              Sum after) noexcept {
  return finish(Sum{static_cast<std::uint16_t>(~checksum)} + finish(before) + after);
}

/// The implementations between which the run-time choice is made; for tests and benchmarks.
namespace checksum_kernel {
[[nodiscard]] Sum sum_portable(const std::byte* in, std::size_t size) noexcept;
[[nodiscard]] Sum copy_portable(std::byte* out, const std::byte* in, std::size_t size) noexcept;
#ifdef __x86_64__
[[nodiscard]] bool has_avx2() noexcept;
[[nodiscard]] Sum sum_avx2(const std::byte* in, std::size_t size) noexcept;
[[nodiscard]] Sum copy_avx2(std::byte* out, const std::byte* in, std::size_t size) noexcept;
#endif
}  // namespace checksum_kernel

}  // namespace warren::wire
