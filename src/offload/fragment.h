/// Fragmentation of IP packets that this host sends (RFC 791, section 2.3; RFC 8200, section 4.5).
///
///     packet:       | IP | payload                                  |
///     fragment i:   | IP | payload, a multiple of 8 bytes but in the last |
///
/// Over IPv6 a fragment header of 8 bytes stands between the two.
#pragma once

#include <tl/expected.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <warren/counters.h>

namespace warren::offload {

/// Refers to the packet, which must outlive it. Plain data; may be copied.
class FragmentPlan {
 public:
  /// For finished packets that are larger than `mtu`, without IP options or extension headers.
  /// `id` names the packet among those of the same hosts over IPv6; IPv4 packets have theirs. The
  /// reason to drop the packet: too_big where it must not be fragmented, malformed.
  [[nodiscard]] static tl::expected<FragmentPlan, DropReason> make(
      std::span<const std::byte> packet, std::size_t mtu, std::uint32_t id) noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return (payload_.size() + step_ - 1) / step_; }
  [[nodiscard]] std::size_t fragment_size(std::size_t index) const noexcept {
    return header_length() + part(index).size();
  }
  /// fragment_size(index) bytes.
  void write_fragment(std::size_t index, std::byte* out) const noexcept;

 private:
  FragmentPlan() = default;
  [[nodiscard]] std::size_t header_length() const noexcept {
    return header_.size() + (ipv6_ ? 8 : 0);
  }
  [[nodiscard]] std::span<const std::byte> part(std::size_t index) const noexcept {
    const auto at = index * step_;
    return payload_.subspan(at, std::min(step_, payload_.size() - at));
  }

  std::span<const std::byte> header_;
  std::span<const std::byte> payload_;
  std::size_t step_ = 8;  ///< payload bytes of each fragment but the last
  std::uint32_t id_ = 0;
  bool ipv6_ = false;
};

}  // namespace warren::offload
