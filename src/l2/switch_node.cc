#include "l2/switch_node.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "wire/ethernet.h"

namespace warren::l2 {
namespace {

// What flooded frames are copied into; memory that is never used costs nothing.
constexpr std::size_t copies = 1024;
constexpr std::uint64_t first_reserved = 0x0180c2000001;
constexpr std::uint64_t last_reserved = 0x0180c200000f;

class SwitchNode;

class SwitchPort final : public Port {
 public:
  SwitchPort(std::string name, SwitchNode& node, MacTable::Owner number)
      : Port(std::move(name)), node_(node), number_(number) {}

  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capabilities::super_packets(Medium::ethernet);
  }
  void receive(Batch& batch) noexcept override;
  void flush() noexcept override;

  [[nodiscard]] MacTable::Owner number() const noexcept { return number_; }
  [[nodiscard]] bool may_talk_to(const SwitchPort& other) const noexcept {
    return !(isolated && other.isolated);
  }
  /// True where it is the first of a batch. A batch that comes in adds one to each port at most for
  /// each of its frames, so there is always room.
  bool queue(Packet packet) noexcept {
    pending_.push(std::move(packet));
    return pending_.size() == 1;
  }
  void send() noexcept {
    emit(pending_);
    unflushed_ = true;
  }
  void finish_burst() noexcept {
    if (std::exchange(unflushed_, false)) emit_flush();
  }

  bool isolated = false;

 private:
  SwitchNode& node_;
  MacTable::Owner number_;
  Batch pending_;
  bool unflushed_ = false;
};

class SwitchNode final : public Node {
 public:
  SwitchNode(std::string name, Loop& loop, MacTable table, std::unique_ptr<Pool> pool)
      : Node(std::move(name)), loop_(loop), table_(std::move(table)), pool_(std::move(pool)) {}

  [[nodiscard]] std::string_view kind() const noexcept override { return "switch"; }
  [[nodiscard]] std::vector<Port*> ports() override { return {ports_.begin(), ports_.end()}; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;
  [[nodiscard]] Result<> apply(const SwitchSettings& settings);

  void receive(SwitchPort& from, Batch& batch) noexcept;
  void flush() noexcept;

 private:
  void set_ports(const std::vector<std::string>& names);
  [[nodiscard]] SwitchPort* find(const std::string& name) const noexcept;
  void forward(SwitchPort& from, Packet frame, MacTable::Time now) noexcept;
  void learn(std::uint64_t mac, const SwitchPort& from, MacTable::Time now) noexcept;
  void flood(SwitchPort& from, Packet frame) noexcept;
  void queue(SwitchPort& to, Packet frame) noexcept;
  void queue_copy(SwitchPort& to, const Packet& frame) noexcept;

  Loop& loop_;
  SwitchSettings settings_;
  MacTable table_;
  std::unique_ptr<Pool> pool_;
  std::vector<std::unique_ptr<SwitchPort>> slots_;  ///< by number, with holes
  std::vector<SwitchPort*> ports_;                  ///< in the order of the settings
  std::vector<SwitchPort*> waiting_;                ///< those with frames to be sent
  bool sending_ = false;

  Counter flooded_;
  Counter moved_;
  Counter refused_;
};

void SwitchPort::receive(Batch& batch) noexcept { node_.receive(*this, batch); }
void SwitchPort::flush() noexcept { node_.flush(); }

// Set-up.

SwitchPort* SwitchNode::find(const std::string& name) const noexcept {
  const auto found = std::ranges::find(ports_, name, &Port::name);
  return found == ports_.end() ? nullptr : *found;
}

// Ports that stay keep their number, and with it what was learnt.
void SwitchNode::set_ports(const std::vector<std::string>& names) {
  for (auto& slot : slots_) {
    if (slot == nullptr || std::ranges::find(names, slot->name()) != names.end()) continue;
    table_.erase_owner(slot->number());
    slot.reset();
  }
  std::vector<SwitchPort*> ports;
  for (const auto& name : names) {
    const auto same = [&](const auto& slot) { return slot != nullptr && slot->name() == name; };
    auto slot = std::ranges::find_if(slots_, same);
    if (slot == slots_.end()) slot = std::find(slots_.begin(), slots_.end(), nullptr);
    if (slot == slots_.end()) slot = slots_.insert(slot, nullptr);
    if (*slot == nullptr)
      *slot = std::make_unique<SwitchPort>(name, *this,
                                           static_cast<MacTable::Owner>(slot - slots_.begin()));
    ports.push_back(slot->get());
  }
  ports_ = std::move(ports);
  waiting_.reserve(ports_.size());
}

Result<> SwitchNode::apply(const SwitchSettings& settings) {
  set_ports(settings.ports);
  for (auto* port : ports_)
    port->isolated = std::ranges::find(settings.isolated, port->name()) != settings.isolated.end();
  table_.set_ageing(settings.table.ageing);
  for (const auto& former : settings_.addresses)
    if (std::ranges::find(settings.addresses, former) == settings.addresses.end())
      table_.erase(mac_number(former.mac));
  for (const auto& address : settings.addresses) {
    const auto* port = find(address.port);
    if (port == nullptr)
      return fail(fmt::format("put {} behind \"{}\": there is no such port",
                              address.mac.to_string(), address.port));
    if (!table_.set_static(mac_number(address.mac), port->number()))
      return fail(fmt::format("put {} behind \"{}\": the table of {} addresses is full",
                              address.mac.to_string(), address.port, settings.table.max_entries));
  }
  settings_ = settings;
  return {};
}

Result<bool> SwitchNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const SwitchNodeConfig&>(config).settings();
  if (wanted.table.max_entries != settings_.table.max_entries) return false;
  for (const auto* port : ports_)
    if (port->linked() && std::ranges::find(wanted.ports, port->name()) == wanted.ports.end())
      return false;
  // Where this fails it is made anew, which says why.
  return apply(wanted).has_value();
}

std::vector<std::pair<std::string, std::string>> SwitchNode::details() const {
  const auto now = loop_.now();
  const auto counts = table_.count_by_owner(slots_.size(), now);
  std::size_t all = 0;
  for (const auto count : counts) all += count;
  std::vector<std::pair<std::string, std::string>> details = {
      {"addresses", fmt::format("{} of {}", all, settings_.table.max_entries)},
      {"ageing",
       fmt::format("{} s", std::chrono::duration<double>(settings_.table.ageing).count())},
      {"flooded", std::to_string(flooded_.value())},
      {"moved", std::to_string(moved_.value())},
      {"not learnt", std::to_string(refused_.value())}};
  for (const auto* port : ports_)
    details.emplace_back("behind " + port->name(), std::to_string(counts[port->number()]));
  if (!settings_.isolated.empty())
    details.emplace_back("isolated", fmt::format("{}", fmt::join(settings_.isolated, ", ")));
  return details;
}

// The data path.

void SwitchNode::receive(SwitchPort& from, Batch& batch) noexcept {
  from.received.packets.add(batch.size());
  from.received.bytes.add(batch.total_bytes());
  if (sending_) return batch.drop(from.received, DropReason::loop);
  const auto now = loop_.now();
  for (std::size_t i = 0; i < batch.size(); ++i) forward(from, batch.take(i), now);
  batch.clear();
  sending_ = true;
  for (auto* port : waiting_) port->send();
  sending_ = false;
  waiting_.clear();
}

// What comes while frames are being sent belongs to a burst that is not over.
void SwitchNode::flush() noexcept {
  if (sending_) return;
  sending_ = true;
  for (auto* port : ports_) port->finish_burst();
  sending_ = false;
}

void SwitchNode::forward(SwitchPort& from, Packet frame, MacTable::Time now) noexcept {
  const auto bytes = frame.bytes();
  if (bytes.size() < wire::EthernetView::min_header_length)
    return from.received.drop(DropReason::malformed);
  const auto destination = mac_number(bytes.first<6>());
  const auto source = mac_number(bytes.subspan<6, 6>());
  if (source == 0 || is_group_mac(source)) return from.received.drop(DropReason::wrong_source);
  if (destination >= first_reserved && destination <= last_reserved)
    return from.received.drop(DropReason::reserved);
  learn(source, from, now);
  const auto owner = is_group_mac(destination) ? MacTable::nobody : table_.find(destination, now);
  if (owner == MacTable::nobody) return flood(from, std::move(frame));
  auto& to = *slots_[owner];
  if (&to == &from) return from.received.drop(DropReason::same_port);
  if (!from.may_talk_to(to)) return from.received.drop(DropReason::isolated);
  queue(to, std::move(frame));
}

void SwitchNode::learn(std::uint64_t mac, const SwitchPort& from, MacTable::Time now) noexcept {
  const auto learnt = table_.learn(mac, from.number(), now);
  if (learnt == MacTable::Learnt::moved) moved_.add(1);
  if (learnt == MacTable::Learnt::refused) refused_.add(1);
}

// The last port gets the frame itself, those before it copies.
void SwitchNode::flood(SwitchPort& from, Packet frame) noexcept {
  SwitchPort* last = nullptr;
  auto why_nobody = DropReason::no_link;
  for (auto* port : ports_) {
    if (port == &from || !port->linked()) continue;
    if (!from.may_talk_to(*port)) {
      why_nobody = DropReason::isolated;
      continue;
    }
    if (last != nullptr) queue_copy(*last, frame);
    last = port;
  }
  if (last == nullptr) return from.received.drop(why_nobody);
  flooded_.add(1);
  queue(*last, std::move(frame));
}

void SwitchNode::queue(SwitchPort& to, Packet frame) noexcept {
  if (to.queue(std::move(frame))) waiting_.push_back(&to);
}

void SwitchNode::queue_copy(SwitchPort& to, const Packet& frame) noexcept {
  auto copy = pool_->allocate();
  if (!copy) return to.sent.drop(DropReason::no_buffer);
  if (copy.tailroom() < frame.size()) return to.sent.drop(DropReason::too_big);
  copy.resize(frame.size());
  copy.offload() = frame.offload();
  std::memcpy(copy.data(), frame.data(), frame.size());
  queue(to, std::move(copy));
}

}  // namespace

Result<std::unique_ptr<Node>> SwitchNodeConfig::create(const std::string& name, Loop& loop) const {
  auto pool = Pool::create(copies, Pool::super_packet_size);
  if (!pool) return fail_in(name, pool.error());
  std::random_device random;
  const auto seed = std::uint64_t{random()} << 32 | random();
  auto node =
      std::make_unique<SwitchNode>(name, loop, MacTable(settings_.table, seed), std::move(*pool));
  if (auto applied = node->apply(settings_); !applied) return fail_in(name, applied.error());
  return node;
}

}  // namespace warren::l2
