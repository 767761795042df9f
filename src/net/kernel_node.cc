#include "net/kernel_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "linux/change_watch.h"
#include "net/journal.h"

namespace warren::net {

namespace {

using namespace std::chrono_literals;

// Where somebody else keeps changing what we change, once a second is enough.
constexpr auto repair_pause = 1s;

class KernelNode final : public Node {
 public:
  KernelNode(std::string name, const KernelNodeConfig& config, netlink::Socket socket, Loop& loop)
      : Node(std::move(name)),
        kind_(config.kind()),
        subject_(config.subject()),
        socket_(std::move(socket)),
        changes_(loop, [this] { repair(); }) {}
  ~KernelNode() override { take_back(0); }

  Result<> start(Settings settings);

  [[nodiscard]] std::string_view kind() const noexcept override { return kind_; }
  [[nodiscard]] std::vector<Port*> ports() override { return {}; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;

 private:
  struct Applied {
    Setting setting;
    Journal::Id undo = 0;  // 0: it held before us
  };

  Result<> apply(Setting setting);
  Result<> become(Settings wanted);
  void take_back(std::size_t first);
  void take_back(const Applied& applied);
  void repair();
  [[nodiscard]] Applied* find(const std::string& key);

  std::string_view kind_;
  std::string subject_;
  mutable netlink::Socket socket_;
  ChangeWatch changes_;
  std::vector<Applied> applied_;
  std::string problem_;
};

Result<> KernelNode::start(Settings settings) {
  for (auto& setting : settings)
    if (auto done = apply(std::move(setting)); !done) return done;
  return changes_.start();
}

KernelNode::Applied* KernelNode::find(const std::string& key) {
  const auto found = std::ranges::find(
      applied_, key, [](const Applied& a) -> const auto& { return a.setting.key; });
  return found == applied_.end() ? nullptr : &*found;
}

// Where the same thing had another value, its former undo stays: it leads to what was before us.
Result<> KernelNode::apply(Setting setting) {
  auto* former = find(setting.key);
  const auto there = setting.there(socket_);
  if (!there) return tl::unexpected(there.error());
  Journal::Id id = former == nullptr ? 0 : former->undo;
  if (!*there) {
    if (id == 0) {
      const auto undo = setting.undo(socket_);
      if (!undo) return tl::unexpected(undo.error());
      auto noted = journal().add(*undo);
      if (!noted) return tl::unexpected(noted.error());
      id = *noted;
    }
    if (auto done = setting.apply(socket_); !done) {
      if (former == nullptr) take_back(Applied{std::move(setting), id});
      return done;
    }
    log::debug("{}: {}", name(), setting.text());
  }
  if (former != nullptr)
    *former = {std::move(setting), id};
  else
    applied_.push_back({std::move(setting), id});
  return {};
}

void KernelNode::take_back(const Applied& applied) {
  if (applied.undo == 0) return;
  if (auto done = journal().undo(applied.undo, socket_); !done)
    log::warning("{}: cannot take back \"{}\": {}", name(), applied.setting.text(),
                 done.error().message);
}

void KernelNode::take_back(std::size_t first) {
  while (applied_.size() > first) {
    take_back(applied_.back());
    applied_.pop_back();
  }
}

// Makes hold again what no longer does. What cannot be repaired now is tried again with the next event.
void KernelNode::repair() {
  std::string problem;
  bool repaired = false;
  for (const auto& [setting, undo] : applied_) {
    const auto there = setting.there(socket_);
    if (there && *there) continue;
    const auto done = setting.apply(socket_);
    repaired = true;
    if (done)
      log::info("{}: {} (it had changed)", name(), setting.text());
    else if (problem.empty())
      problem = done.error().message;
  }
  if (!problem.empty() && problem != problem_)
    log::warning("{}: {}; tried again when devices or routes change", name(), problem);
  problem_ = problem;
  if (repaired) changes_.call_after(repair_pause);
}

Result<bool> KernelNode::reconfigure(const NodeConfig& config) {
  auto wanted = static_cast<const KernelNodeConfig&>(config).settings();
  for (const auto& [setting, undo] : applied_) {
    const auto same = std::ranges::find(wanted, setting.key, &Setting::key);
    if (setting.essential && (same == wanted.end() || same->value != setting.value)) return false;
  }
  Settings former;
  for (const auto& [setting, undo] : applied_) former.push_back(setting);
  auto done = become(std::move(wanted));
  if (done) return true;
  if (auto restored = become(std::move(former)); !restored)
    log::error("{}: {}", name(), restored.error().message);
  return tl::unexpected(done.error());
}

// First what goes, because what comes may need its place. What stays the same is not touched.
Result<> KernelNode::become(Settings wanted) {
  for (std::size_t i = applied_.size(); i-- > 0;)
    if (std::ranges::find(wanted, applied_[i].setting.key, &Setting::key) == wanted.end()) {
      take_back(applied_[i]);
      applied_.erase(applied_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  for (auto& setting : wanted) {
    const auto* present = find(setting.key);
    if (present != nullptr && present->setting.value == setting.value) continue;
    if (auto done = apply(std::move(setting)); !done) return done;
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> KernelNode::details() const {
  std::vector<std::pair<std::string, std::string>> details;
  for (const auto& [setting, undo] : applied_) {
    const auto there = setting.there(socket_);
    const bool holds = there && *there;
    details.emplace_back(setting.key, (setting.value.empty() ? "yes" : setting.value) +
                                          (holds ? "" : " (does not hold now)"));
  }
  if (const auto link = socket_.link(subject_); link && (kind_ == "vxlan" || kind_ == "bridge"))
    details.emplace_back("mtu", std::to_string(link->mtu));
  if (!problem_.empty()) details.emplace_back("problem", problem_);
  return details;
}

}  // namespace

bool KernelNodeConfig::equals(const NodeConfig& other) const {
  return kind() == other.kind() && section_ == static_cast<const KernelNodeConfig&>(other).section_;
}

Settings KernelNodeConfig::settings() const {
  return std::visit([&](const auto& section) { return settings_of(subject(), section); }, section_);
}

Result<std::unique_ptr<Node>> KernelNodeConfig::create(const std::string& name, Loop& loop) const {
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  auto node = std::make_unique<KernelNode>(name, *this, std::move(*socket), loop);
  if (auto started = node->start(settings()); !started)
    return fail_in(where() + ": " + name, started.error());
  return node;
}

}  // namespace warren::net
