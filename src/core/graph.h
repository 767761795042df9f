/// The running nodes and links, made equal to a description.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/node.h"

namespace warren {

struct NodeSpec {
  std::string name;
  std::shared_ptr<const NodeConfig> config;
};

/// Two ends, each "NODE" (its only port, or the one that is called "port") or "NODE.PORT".
struct LinkSpec {
  std::string a;
  std::string b;
  friend bool operator==(const LinkSpec&, const LinkSpec&) = default;
};

/// A passive description: what a network file, or a request on the control socket, says should run.
struct GraphSpec {
  std::vector<NodeSpec> nodes;
  std::vector<LinkSpec> links;
};

/// Not thread-safe: belongs to the thread of its loop.
class Graph {
 public:
  /// Stands between a port and a consumer that takes less than the port emits; owned by the graph.
  using Adapter =
      std::function<Result<std::unique_ptr<PacketSink>>(Port& producer, Port& consumer)>;

  Graph(Loop& loop, Adapter adapter) : loop_(loop), adapter_(std::move(adapter)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  /// Makes the running system equal to `spec`. Nodes and links that are the same before and after
  /// are not touched. Where something fails, the former state is restored and the error says what
  /// happened.
  [[nodiscard]] Result<> apply(const GraphSpec& spec);
  [[nodiscard]] const GraphSpec& spec() const noexcept { return spec_; }
  /// In the order of the description.
  [[nodiscard]] std::vector<Node*> nodes() const;

 private:
  struct Link {
    LinkSpec spec;
    Port* a;
    Port* b;
    std::unique_ptr<PacketSink> into_a;  ///< adapters, where they are needed
    std::unique_ptr<PacketSink> into_b;
  };

  [[nodiscard]] Result<> transition(const GraphSpec& spec);
  [[nodiscard]] Result<> update_node(const NodeSpec& wanted);
  [[nodiscard]] Result<> connect(const LinkSpec& spec);
  [[nodiscard]] Result<std::unique_ptr<PacketSink>> join(Port& producer, Port& consumer);
  [[nodiscard]] Result<Port*> find_port(const std::string& end) const;
  void disconnect_if(const std::function<bool(const Link&)>& unwanted);
  void remove_node(const std::string& name);

  struct Running {
    std::unique_ptr<Node> node;
    std::shared_ptr<const NodeConfig> config;
  };

  Loop& loop_;
  Adapter adapter_;
  GraphSpec spec_;
  std::map<std::string, Running> running_;
  std::vector<Link> links_;
};

}  // namespace warren
