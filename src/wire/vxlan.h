/// VXLAN headers (RFC 7348, section 5), which stand between UDP and an Ethernet frame.
///
///     | R R R R I R R R | reserved 24 | VNI 24 | reserved 8 |      I: there is a VNI
#pragma once

#include <optional>
#include <span>

#include "wire/bytes.h"

namespace warren::wire {

/// The port that IANA assigned.
inline constexpr std::uint16_t vxlan_port = 4789;

template <AnyByte Byte>
class Vxlan {
 public:
  static constexpr std::size_t header_length = 8;
  static constexpr std::uint32_t max_vni = 0xffffff;

  /// Nothing where `message` ends within the header.
  [[nodiscard]] static std::optional<Vxlan> parse(std::span<Byte> message) noexcept {
    std::optional<Vxlan> header;
    if (message.size() >= header_length) header.emplace(message.data());
    return header;
  }
  /// For headers that parse() accepted before, or that are to be written.
  explicit Vxlan(Byte* header) noexcept : p_(header) {}

  /// Otherwise the message is none. The reserved bits mean nothing to a receiver.
  [[nodiscard]] bool has_vni() const noexcept { return (load8(p_) & vni_flag) != 0; }
  [[nodiscard]] std::uint32_t vni() const noexcept { return load32(p_ + 4) >> 8; }

  /// The whole header.
  void write(std::uint32_t vni) const noexcept
    requires WritableByte<Byte>
  {
    store32(p_, std::uint32_t{vni_flag} << 24);
    store32(p_ + 4, vni << 8);
  }

 private:
  static constexpr std::uint8_t vni_flag = 0x08;

  Byte* p_;
};

using VxlanView = Vxlan<const std::byte>;
using VxlanEditor = Vxlan<std::byte>;

}  // namespace warren::wire
