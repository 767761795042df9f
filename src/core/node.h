/// Nodes: things with named ports.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <warren/loop.h>

#include "core/port.h"

namespace warren {

class NodeConfig;

class Node {
 public:
  explicit Node(std::string name) : name_(std::move(name)) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The word in the network file: "tun".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;
  /// In a fixed order; the node owns them.
  [[nodiscard]] virtual std::vector<Port*> ports() = 0;
  /// What `warren status` shows beside the counters: name and value.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> details() const {
    return {};
  }
  /// It no longer works, and Graph::apply makes it anew: its device is gone.
  [[nodiscard]] virtual bool broken() const noexcept { return false; }
  /// Makes a running node match a new configuration of its own kind, without losing packets. False
  /// where it would have to be made anew for that; it is then unchanged.
  [[nodiscard]] virtual Result<bool> reconfigure(const NodeConfig&) { return false; }

 private:
  std::string name_;
};

/// How to make one node. Immutable; the network file becomes these.
class NodeConfig {
 public:
  virtual ~NodeConfig() = default;
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;
  [[nodiscard]] virtual bool equals(const NodeConfig& other) const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Node>> create(const std::string& name,
                                                             Loop& loop) const = 0;
};

/// The configuration of a kind of nodes that its settings say everything about.
template <class Settings>
class NodeConfigOf : public NodeConfig {
 public:
  explicit NodeConfigOf(Settings settings) : settings_(std::move(settings)) {}

  [[nodiscard]] bool equals(const NodeConfig& other) const final {
    return kind() == other.kind() && settings_ == static_cast<const NodeConfigOf&>(other).settings_;
  }
  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }

 protected:
  Settings settings_;
};

}  // namespace warren
