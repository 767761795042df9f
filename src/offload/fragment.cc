#include "offload/fragment.h"

#include <cstring>

#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace warren::offload {

using namespace wire;  // NOLINT: this file is about nothing else

namespace {

constexpr std::size_t fragment_header_length = 8;

// Some of them would have to stand in each fragment.
bool is_extension(std::uint8_t protocol) noexcept {
  return protocol == ip_protocol::hop_by_hop || protocol == ip_protocol::routing ||
         protocol == ip_protocol::fragment || protocol == ip_protocol::authentication ||
         protocol == ip_protocol::destination_options;
}

}  // namespace

tl::expected<FragmentPlan, DropReason> FragmentPlan::make(std::span<const std::byte> packet,
                                                          std::size_t mtu,
                                                          std::uint32_t id) noexcept {
  FragmentPlan plan;
  if (const auto ipv4 = Ipv4View::parse(packet)) {
    if (ipv4->header_length() != Ipv4View::min_header_length || ipv4->is_fragment())
      return tl::unexpected(DropReason::malformed);
    if ((ipv4->fragment_word() & Ipv4View::dont_fragment) != 0)
      return tl::unexpected(DropReason::too_big);
    plan.header_ = ipv4->header();
    plan.payload_ = ipv4->payload();
  } else if (const auto ipv6 = Ipv6View::parse(packet)) {
    if (is_extension(ipv6->next_header())) return tl::unexpected(DropReason::malformed);
    plan.header_ = packet.first(Ipv6View::min_header_length);
    plan.payload_ = ipv6->payload();
    plan.ipv6_ = true;
    plan.id_ = id;
  } else {
    return tl::unexpected(DropReason::malformed);
  }
  if (mtu < plan.header_length() + 8) return tl::unexpected(DropReason::too_big);
  plan.step_ = (mtu - plan.header_length()) / 8 * 8;
  if (plan.payload_.empty()) return tl::unexpected(DropReason::malformed);
  return plan;
}

void FragmentPlan::write_fragment(std::size_t index, std::byte* out) const noexcept {
  const auto data = part(index);
  const auto offset = static_cast<std::uint16_t>(index * step_);
  const bool last = index * step_ + data.size() == payload_.size();
  std::memcpy(out, header_.data(), header_.size());
  std::memcpy(out + header_length(), data.data(), data.size());
  if (ipv6_) {
    const Ipv6Editor ip(out);
    auto* fragment = out + header_.size();
    const auto protocol = ip.next_header();
    store8(out + 6, ip_protocol::fragment);
    ip.set_payload_length(static_cast<std::uint16_t>(fragment_header_length + data.size()));
    store8(fragment, protocol);
    store8(fragment + 1, 0);
    store16(fragment + 2, static_cast<std::uint16_t>(offset | (last ? 0 : 1)));
    store32(fragment + 4, id_);
    return;
  }
  const Ipv4Editor ip(out);
  ip.set_total_length(static_cast<std::uint16_t>(header_.size() + data.size()));
  store16(out + 6, static_cast<std::uint16_t>(offset / 8 | (last ? 0 : Ipv4View::more_fragments)));
  ip.set_checksum(0);
  ip.set_checksum(finish(sum_bytes(ip.header())));
}

}  // namespace warren::offload
