#include "io/impair_node.h"

#include <fmt/format.h>

namespace warren {
namespace {

// What enters at one port leaves, later, at the other.
class ImpairPort final : public Port {
 public:
  ImpairPort(std::string name, Medium medium, Loop& loop, std::unique_ptr<Impairment> impairment)
      : Port(std::move(name)),
        medium_(medium),
        loop_(loop),
        impairment_(std::move(impairment)),
        timer_(loop, [this] { release(); }) {}

  void set_other(ImpairPort& other) noexcept { other_ = &other; }
  void reconfigure(const ImpairmentConfig& config) { impairment_->reconfigure(config); }

  // It takes finished packets only: what is lost or delayed on a line is a wire packet, not a
  // super-packet.
  [[nodiscard]] Capabilities capabilities() const noexcept override { return {.medium = medium_}; }

  void receive(Batch& batch) noexcept override {
    received.packets.add(batch.size());
    received.bytes.add(batch.total_bytes());
    impairment_->enqueue(batch, loop_.now(), received);
    release();
  }

 private:
  void release() noexcept {
    const auto now = loop_.now();
    Batch due;
    while (impairment_->next_departure() <= now) {
      impairment_->dequeue(due, now);
      other_->emit(due);
    }
    other_->emit_flush();
    timer_.set(impairment_->next_departure());
  }

  Medium medium_;
  Loop& loop_;
  std::unique_ptr<Impairment> impairment_;
  Timer timer_;
  ImpairPort* other_ = nullptr;
};

class ImpairNode final : public Node {
 public:
  ImpairNode(std::string name, const ImpairNodeConfig& config, std::unique_ptr<ImpairPort> a,
             std::unique_ptr<ImpairPort> b)
      : Node(std::move(name)), config_(config), a_(std::move(a)), b_(std::move(b)) {
    a_->set_other(*b_);
    b_->set_other(*a_);
  }

  [[nodiscard]] std::string_view kind() const noexcept override { return "impair"; }
  [[nodiscard]] std::vector<Port*> ports() override { return {a_.get(), b_.get()}; }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override {
    const auto& line = config_.impairment();
    const auto milliseconds = [](std::chrono::nanoseconds time) {
      return fmt::format("{} ms", std::chrono::duration<double, std::milli>(time).count());
    };
    return {
        {"loss", fmt::format("{} %", line.loss * 100)},
        {"delay", milliseconds(line.delay)},
        {"jitter", milliseconds(line.jitter)},
        {"reorder", fmt::format("{} %", line.reorder * 100)},
        {"duplicate", fmt::format("{} %", line.duplicate * 100)},
        {"rate", line.rate == 0 ? "unlimited"
                                : fmt::format("{} Mbit/s", static_cast<double>(line.rate) / 1e6)}};
  }

  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override {
    const auto& wanted = static_cast<const ImpairNodeConfig&>(config);
    if (wanted.medium() != config_.medium() ||
        wanted.impairment().queue != config_.impairment().queue)
      return false;
    a_->reconfigure(wanted.impairment());
    b_->reconfigure(other_direction(wanted.impairment()));
    config_ = wanted;
    return true;
  }

  static ImpairmentConfig other_direction(ImpairmentConfig config) {
    config.seed ^= 0x9e3779b97f4a7c15;
    return config;
  }

 private:
  ImpairNodeConfig config_;
  std::unique_ptr<ImpairPort> a_;
  std::unique_ptr<ImpairPort> b_;
};

}  // namespace

bool ImpairNodeConfig::equals(const NodeConfig& other) const {
  if (kind() != other.kind()) return false;
  const auto& impair = static_cast<const ImpairNodeConfig&>(other);
  return medium_ == impair.medium_ && impairment_ == impair.impairment_;
}

Result<std::unique_ptr<Node>> ImpairNodeConfig::create(const std::string& name, Loop& loop) const {
  auto forward = Impairment::create(impairment_);
  if (!forward) return tl::unexpected(forward.error());
  auto back = Impairment::create(ImpairNode::other_direction(impairment_));
  if (!back) return tl::unexpected(back.error());
  return std::make_unique<ImpairNode>(
      name, *this, std::make_unique<ImpairPort>("a", medium_, loop, std::move(*forward)),
      std::make_unique<ImpairPort>("b", medium_, loop, std::move(*back)));
}

}  // namespace warren
