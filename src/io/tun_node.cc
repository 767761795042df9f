#include "io/tun_node.h"

#include <fmt/format.h>

#include <cstring>

#include "core/log.h"
#include "io/tun_change.h"

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

Result<bool> TunNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const TunNodeConfig&>(config).settings();
  if (needs_new_device(config_, wanted)) return false;
  auto changed = change_tun(tun_, config_, wanted);
  const auto former = std::exchange(config_, wanted);
  if (changed) return true;
  // Half of it may have been applied: go back before saying so.
  if (auto restored = change_tun(tun_, wanted, former); !restored)
    log::error("{}", restored.error().message);
  config_ = former;
  return tl::unexpected(changed.error());
}

}  // namespace

Result<std::unique_ptr<Node>> TunNodeConfig::create(const std::string& name, Loop& loop) const {
  TunConfig config = settings_;
  if (config.name.empty()) config.name = name;
  auto tun = Tun::open(config);
  if (!tun) return tl::unexpected(tun.error());
  auto node = std::make_unique<TunNode>(name, settings_, std::move(*tun));
  if (auto started = node->start(loop); !started) return fail_in(name, started.error());
  return node;
}

}  // namespace warren
