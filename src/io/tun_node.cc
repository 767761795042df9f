#include "io/tun_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/log.h"

namespace warren {
namespace {

class TunPort final : public Port, public PacketReceiver {
 public:
  TunPort(std::string device, TunMode mode, TunOffloads offloads)
      : Port("port"), device_(std::move(device)) {
    capabilities_.medium = mode == TunMode::tap ? Medium::ethernet : Medium::ip;
    capabilities_.checksum = offloads.checksum;
    capabilities_.tso4 = offloads.tso4;
    capabilities_.tso6 = offloads.tso6;
    capabilities_.uso = offloads.uso;
  }

  Result<> start(Loop& loop, const Tun& tun) {
    for (std::size_t queue = 0; queue < tun.queue_count(); ++queue) {
      PacketStream::Config config;
      config.fd = tun.fd(queue);
      config.offload_header = tun.offloads().header;
      config.receiver = this;
      config.read_counters = &sent;
      config.write_counters = &received;
      auto stream = loop.open_stream(config);
      if (!stream) return tl::unexpected(stream.error());
      streams_.push_back(std::move(*stream));
    }
    return {};
  }

  [[nodiscard]] Capabilities capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] int error() const noexcept { return error_; }

  void receive(Batch& batch) noexcept override {
    received.packets.add(batch.size());
    received.bytes.add(batch.total_bytes());
    streams_.front()->write(batch);
  }
  void on_packets(Batch& batch) noexcept override { emit(batch); }
  void on_burst_end() noexcept override { emit_flush(); }
  void on_stream_end(int error) noexcept override {
    error_ = error;
    log::error("{}: the device is gone ({}); `warren reload` brings it back", device_,
               std::strerror(error));
  }

 private:
  std::string device_;
  Capabilities capabilities_;
  std::vector<std::unique_ptr<PacketStream>> streams_;
  int error_ = 0;
};

class TunNode final : public Node {
 public:
  TunNode(std::string name, TunConfig config, Tun tun)
      : Node(std::move(name)),
        config_(std::move(config)),
        tun_(std::move(tun)),
        port_(tun_.name(), tun_.mode(), tun_.offloads()) {}

  Result<> start(Loop& loop) { return port_.start(loop, tun_); }

  [[nodiscard]] std::string_view kind() const noexcept override { return "tun"; }
  [[nodiscard]] std::vector<Port*> ports() override { return {&port_}; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] bool broken() const noexcept override { return port_.error() != 0; }
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;

 private:
  [[nodiscard]] Result<> apply(const TunConfig& wanted);

  TunConfig config_;
  Tun tun_;
  TunPort port_;
};

std::vector<std::pair<std::string, std::string>> TunNode::details() const {
  const auto offloads = tun_.offloads();
  std::string list;
  for (const auto& [on, name] :
       {std::pair{offloads.checksum, "checksum"}, std::pair{offloads.tso4, "tso4"},
        std::pair{offloads.tso6, "tso6"}, std::pair{offloads.uso, "uso"}})
    if (on) list += fmt::format("{}{}", list.empty() ? "" : " ", name);
  std::vector<std::pair<std::string, std::string>> details = {
      {"device", tun_.name()},
      {"mode", tun_.mode() == TunMode::tap ? "tap" : "tun"},
      {"offloads", list.empty() ? "none" : list}};
  if (!config_.netns.empty()) details.emplace_back("netns", config_.netns);
  if (const auto mtu = tun_.mtu()) details.emplace_back("mtu", std::to_string(*mtu));
  if (port_.error() != 0) details.emplace_back("error", std::strerror(port_.error()));
  return details;
}

// What makes another device, as opposed to another configuration of this one.
bool same_device(const TunConfig& a, const TunConfig& b) {
  return a.mode == b.mode && a.name == b.name && a.netns == b.netns && a.queues == b.queues &&
         a.owner == b.owner && a.group == b.group && a.offload == b.offload;
}

// A setting that the new file no longer has falls back to the kernel's default, which only a new
// device shows.
bool withdraws_setting(const TunConfig& before, const TunConfig& after) {
  return (before.mtu && !after.mtu) || (before.mac && !after.mac) ||
         (before.tx_queue_length && !after.tx_queue_length);
}

Result<bool> TunNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const TunNodeConfig&>(config).tun();
  if (!same_device(config_, wanted) || withdraws_setting(config_, wanted)) return false;
  auto applied = apply(wanted);
  const auto former = std::exchange(config_, wanted);
  if (applied) return true;
  // Half of it may have been applied: go back before saying so.
  if (auto restored = apply(former); !restored) log::error("{}", restored.error().message);
  config_ = former;
  return tl::unexpected(applied.error());
}

template <class T>
std::vector<T> without(std::vector<T> items, const std::vector<T>& others) {
  std::erase_if(items,
                [&](const T& item) { return std::ranges::find(others, item) != others.end(); });
  return items;
}

// From config_ to `wanted`. Only addresses and routes that the file gave are taken away: others may
// have been added by hand. Routes are all told anew at the end, because the kernel drops them with
// their address or when the device goes down; adding one that is there is no error.
Result<> TunNode::apply(const TunConfig& wanted) {
  auto present = tun_.addresses();
  if (!present) return tl::unexpected(present.error());
  Result<> done;
  const auto step = [&](bool needed, auto&& action) {
    if (done && needed) done = action();
  };
  step(wanted.mtu.has_value(), [&] { return tun_.set_mtu(*wanted.mtu); });
  step(wanted.mac.has_value(), [&] { return tun_.set_mac(*wanted.mac); });
  step(wanted.tx_queue_length.has_value(),
       [&] { return tun_.set_tx_queue_length(*wanted.tx_queue_length); });
  step(wanted.persist != config_.persist, [&] { return tun_.set_persist(wanted.persist); });
  for (const auto& route : without(config_.routes, wanted.routes))
    if (auto removed = tun_.remove_route(route); !removed)
      log::debug("{}", removed.error().message);
  const auto unwanted = without(config_.addresses, wanted.addresses);
  for (const auto& address : without(unwanted, without(unwanted, *present)))
    step(true, [&] { return tun_.remove_address(address); });
  for (const auto& address : without(wanted.addresses, *present))
    step(true, [&] { return tun_.add_address(address); });
  step(true, [&] { return tun_.set_up(wanted.up); });
  if (wanted.up)
    for (const auto& route : wanted.routes) step(true, [&] { return tun_.add_route(route); });
  return done;
}

}  // namespace

bool TunNodeConfig::equals(const NodeConfig& other) const {
  return kind() == other.kind() && tun_ == static_cast<const TunNodeConfig&>(other).tun_;
}

Result<std::unique_ptr<Node>> TunNodeConfig::create(const std::string& name, Loop& loop) const {
  TunConfig config = tun_;
  if (config.name.empty()) config.name = name;
  auto tun = Tun::open(config);
  if (!tun) return tl::unexpected(tun.error());
  auto node = std::make_unique<TunNode>(name, tun_, std::move(*tun));
  if (auto started = node->start(loop); !started) return fail_in(name, started.error());
  return node;
}

}  // namespace warren
