#include "tunnel/overlay_ports.h"

#include <algorithm>
#include <cstring>

#include "offload/fragment.h"
#include "offload/segment.h"
#include "wire/udp.h"
#include "wire/vxlan.h"
#include "wire/vxlan_outer.h"

namespace warren::tunnel {

namespace {

bool is_for(std::span<const std::byte> packet, std::size_t outer,
            const OverlaySettings& port) noexcept {
  const bool ipv6 = outer == wire::vxlan_outer_length(true);
  const auto* to = packet.data() + (ipv6 ? 24 : 16);
  const auto* udp = packet.data() + outer - 16;
  const wire::VxlanView vxlan(udp + 8);
  return port.local.ipv6 == ipv6 && wire::UdpView(udp).destination_port() == port.port &&
         vxlan.has_vni() && vxlan.vni() == port.vni &&
         std::memcmp(to, port.local.bytes.data(), ipv6 ? 16 : 4) == 0;
}

}  // namespace

void OverlayPort::receive(Batch& batch) noexcept {
  received.packets.add(batch.size());
  received.bytes.add(batch.total_bytes());
  if (traffic_ == nullptr) return batch.drop(received, DropReason::device_error);
  traffic_->send(*this, batch);
}

void OverlayTraffic::set_ports(std::vector<OverlayPort*> ports) {
  for (auto* port : ports_) port->attach(nullptr);
  ports_ = std::move(ports);
  for (auto* port : ports_) port->attach(this);
}

// From a VXLAN to the peers.

void OverlayTraffic::send(OverlayPort& from, Batch& batch) noexcept {
  if (engine_receives_) {
    if (waiting_count_ == waiting_.size()) return batch.drop(from.received, DropReason::queue_full);
    waiting_[waiting_count_++] = std::move(batch);
    return;
  }
  std::size_t fit = 0;
  while (fit < batch.size() && fits(batch.bytes(fit), batch.offload(fit))) ++fit;
  if (fit == batch.size()) return send_(batch);

  Batch out;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto packet = batch.take(i);
    if (!fits(packet.bytes(), packet.offload())) {
      send_fragments(from, packet, out);
      continue;
    }
    if (out.full()) send_(out);
    out.push(std::move(packet));
  }
  batch.clear();
  if (!out.empty()) send_(out);
}

// What has waited fits or is fragmented as anything else; whose it was does not matter any more.
void OverlayTraffic::engine_receives(bool yes) noexcept {
  engine_receives_ = yes;
  for (std::size_t i = 0; !yes && i < waiting_count_; ++i) send(*ports_.front(), waiting_[i]);
  if (!yes) waiting_count_ = 0;
}

bool OverlayTraffic::fits(std::span<const std::byte> packet,
                          const OffloadHeader& offload) noexcept {
  if (!offload.is_super_packet()) return packet.size() <= mtu_;
  const auto plan = offload::SegmentPlan::make(packet, offload, Medium::ip);
  return !plan || plan->max_segment_size() <= mtu_;  // the engine says what is wrong with it
}

void OverlayTraffic::send_fragments(OverlayPort& from, const Packet& packet, Batch& out) noexcept {
  if (!packet.offload().is_super_packet()) return fragment(from, packet.bytes(), out);
  const auto plan = offload::SegmentPlan::make(packet.bytes(), packet.offload(), Medium::ip);
  if (!plan) return from.received.drop(plan.error());
  auto segment = pool_.allocate();
  if (!segment) return from.received.drop(DropReason::no_buffer, plan->count());
  for (std::size_t i = 0; i < plan->count(); ++i) {
    segment.resize(plan->segment_size(i));
    plan->write_segment(i, segment.data());
    fragment(from, segment.bytes(), out);
  }
}

void OverlayTraffic::fragment(OverlayPort& from, std::span<const std::byte> packet,
                              Batch& out) noexcept {
  const auto plan = offload::FragmentPlan::make(packet, mtu_, next_id_++);
  if (!plan) return from.received.drop(plan.error());
  for (std::size_t i = 0; i < plan->count(); ++i) {
    if (out.full()) send_(out);
    auto piece = pool_.allocate();
    if (!piece) return from.received.drop(DropReason::no_buffer);
    piece.resize(plan->fragment_size(i));
    plan->write_fragment(i, piece.data());
    fragments_.add(1);
    out.push(std::move(piece));
  }
}

// From the peers to a VXLAN.

bool OverlayTraffic::take_for_port(std::span<std::byte> packet) noexcept {
  const auto outer = wire::find_vxlan_outer(packet);
  if (!outer) return false;
  for (auto* port : ports_) {
    if (!is_for(packet, *outer, port->settings_) || !port->linked()) continue;
    if (port->taken_count_ == port->taken_.size()) deliver_to(*port);
    port->taken_[port->taken_count_++] = packet;
    return true;
  }
  return false;
}

void OverlayTraffic::deliver() noexcept {
  for (auto* port : ports_)
    if (port->taken_count_ != 0) deliver_to(*port);
}

void OverlayTraffic::deliver_to(OverlayPort& port) noexcept {
  const auto packets = std::span(port.taken_).first(port.taken_count_);
  port.taken_count_ = 0;
  if (port.lend(packets)) return;
  Batch batch;
  for (const auto packet : packets) {
    auto copy = pool_.allocate();
    if (!copy || copy.tailroom() < packet.size()) {
      port.sent.drop(copy ? DropReason::too_big : DropReason::no_buffer);
      continue;
    }
    copy.resize(packet.size());
    std::memcpy(copy.data(), packet.data(), packet.size());
    if (batch.full()) port.emit(batch);
    batch.push(std::move(copy));
  }
  if (!batch.empty()) port.emit(batch);
}

void OverlayTraffic::end_burst() noexcept {
  for (auto* port : ports_) port->emit_flush();
}

}  // namespace warren::tunnel
