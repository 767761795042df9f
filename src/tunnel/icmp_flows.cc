#include "tunnel/icmp_flows.h"

#include <fmt/format.h>

#include "core/log.h"

namespace warren::tunnel {

Result<std::unique_ptr<IcmpFlows>> IcmpFlows::create(Loop& loop, std::string name,
                                                     IcmpFlowsSettings settings, std::uint16_t port,
                                                     std::uint32_t mark) {
  std::unique_ptr<IcmpFlows> flows(new IcmpFlows(loop, std::move(name), std::move(settings)));
  flows->mark_ = mark;
  for (const auto& config : flows->wanted(0, mark)) {
    auto node = config.create(flows->name_, loop);
    if (!node) return tl::unexpected(node.error());
    flows->nodes_.push_back(std::move(*node));
  }
  if (auto moved = flows->move(port, mark); !moved) return tl::unexpected(moved.error());
  return flows;
}

std::vector<carrier::IcmpNodeConfig> IcmpFlows::wanted(std::uint16_t port,
                                                       std::uint32_t mark) const {
  std::vector<carrier::IcmpNodeConfig> configs;
  carrier::IcmpNodeSettings settings;
  settings.devices = settings_.devices;
  settings.options = settings_.options;
  settings.mark = mark;
  for (const auto& server : settings_.servers) {
    settings.role = server;
    configs.emplace_back(settings);
  }
  if (port == 0 || settings_.users.empty()) return configs;
  auto users = settings_.users;
  for (auto& user : users) user.port = port;
  settings.role = std::move(users);
  configs.emplace_back(std::move(settings));
  return configs;
}

Result<> IcmpFlows::move(std::uint16_t port, std::uint32_t mark) {
  const auto configs = wanted(port, mark);
  const auto former = wanted(port_, mark_);
  Result<> done;
  for (std::size_t i = 0; done && i < configs.size() && i < former.size(); ++i) {
    if (configs[i].equals(former[i])) continue;
    const auto changed = nodes_[i]->reconfigure(configs[i]);
    if (!changed) done = tl::unexpected(changed.error());
  }
  // The users' node comes last. It is made with the first port, and stays: a port that is none any more
  // is still theirs until there is another.
  if (done && configs.size() > nodes_.size()) {
    auto node = configs.back().create(name_, loop_);
    if (node)
      nodes_.push_back(std::move(*node));
    else
      done = tl::unexpected(node.error());
  }
  if (!done) {
    for (std::size_t i = 0; i < former.size(); ++i)
      if (auto restored = nodes_[i]->reconfigure(former[i]); !restored)
        log::error("{}: {}", name_, restored.error().message);
    return done;
  }
  if (port != 0) port_ = port;
  mark_ = mark;
  return {};
}

std::vector<std::pair<std::string, std::string>> IcmpFlows::details() const {
  std::vector<std::pair<std::string, std::string>> all = {{"carrier", "icmp"}};
  for (const auto& node : nodes_) {
    std::string key = "icmp users";
    std::string text;
    for (const auto& [name, value] : node->details()) {
      if (name == "server")
        key = "icmp to " + value;
      else if (name != "role")
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
    }
    all.emplace_back(std::move(key), std::move(text));
  }
  if (!settings_.users.empty() && port_ == 0)
    all.emplace_back("icmp users", "served when the interface has a port");
  return all;
}

}  // namespace warren::tunnel
