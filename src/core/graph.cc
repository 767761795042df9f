#include "core/graph.h"

#include <fmt/format.h>

#include <algorithm>

namespace warren {

std::string_view medium_name(Medium medium) noexcept {
  return medium == Medium::ip ? "IP packets" : "Ethernet frames";
}

Graph::~Graph() {
  disconnect_if([](const Link&) { return true; });
}

Result<> Graph::apply(const GraphSpec& spec) {
  auto done = transition(spec);
  if (done) {
    spec_ = spec;
    return {};
  }
  if (auto restored = transition(spec_); !restored)
    return fail(fmt::format("{}; and the former state could not be restored: {}",
                            done.error().message, restored.error().message),
                done.error().code);
  return done;
}

std::vector<Node*> Graph::nodes() const {
  std::vector<Node*> nodes;
  for (const auto& wanted : spec_.nodes)
    if (const auto found = running_.find(wanted.name); found != running_.end())
      nodes.push_back(found->second.node.get());
  return nodes;
}

Result<> Graph::transition(const GraphSpec& spec) {
  disconnect_if([&](const Link& link) {
    return std::ranges::find(spec.links, link.spec) == spec.links.end();
  });
  std::vector<std::string> gone;
  for (const auto& [name, running] : running_)
    if (std::ranges::find(spec.nodes, name, &NodeSpec::name) == spec.nodes.end())
      gone.push_back(name);
  for (const auto& name : gone) remove_node(name);
  for (const auto& wanted : spec.nodes)
    if (auto updated = update_node(wanted); !updated) return updated;
  for (const auto& wanted : spec.links)
    if (std::ranges::find(links_, wanted, &Link::spec) == links_.end())
      if (auto connected = connect(wanted); !connected) return connected;
  return {};
}

Result<> Graph::update_node(const NodeSpec& wanted) {
  if (const auto found = running_.find(wanted.name); found != running_.end()) {
    auto& running = found->second;
    const bool broken = running.node->broken();
    if (!broken && running.config == wanted.config) return {};
    if (!broken && running.config->kind() == wanted.config->kind()) {
      if (running.config->equals(*wanted.config)) return {};
      auto changed = running.node->reconfigure(*wanted.config);
      if (!changed) return tl::unexpected(changed.error());
      if (*changed) {
        running.config = wanted.config;
        return {};
      }
    }
    remove_node(wanted.name);
  }
  auto node = wanted.config->create(wanted.name, loop_);
  if (!node) return tl::unexpected(node.error());
  running_[wanted.name] = Running{std::move(*node), wanted.config};
  return {};
}

void Graph::remove_node(const std::string& name) {
  const auto found = running_.find(name);
  auto* node = found->second.node.get();
  disconnect_if([node](const Link& link) {
    return std::ranges::any_of(node->ports(),
                               [&](Port* port) { return port == link.a || port == link.b; });
  });
  running_.erase(found);
}

void Graph::disconnect_if(const std::function<bool(const Link&)>& unwanted) {
  std::erase_if(links_, [&](const Link& link) {
    if (!unwanted(link)) return false;
    link.a->disconnect();
    link.b->disconnect();
    return true;
  });
}

Result<Port*> Graph::find_port(const std::string& end) const {
  const auto dot = end.find('.');
  const auto found = running_.find(end.substr(0, dot));
  if (found == running_.end())
    return fail(fmt::format("link to \"{}\": there is no such node", end));
  const auto ports = found->second.node->ports();
  if (dot == std::string::npos && ports.size() == 1) return ports.front();
  std::string names;
  for (auto* port : ports) {
    if (port->name() == (dot == std::string::npos ? "port" : end.substr(dot + 1))) return port;
    names +=
        fmt::format("{}\"{}.{}\"", names.empty() ? "" : ", ", end.substr(0, dot), port->name());
  }
  return fail(fmt::format("link to \"{}\": no such port; there are {}", end, names));
}

Result<> Graph::connect(const LinkSpec& spec) {
  auto a = find_port(spec.a);
  if (!a) return tl::unexpected(a.error());
  auto b = find_port(spec.b);
  if (!b) return tl::unexpected(b.error());
  for (auto [port, end] : {std::pair{*a, &spec.a}, std::pair{*b, &spec.b}})
    if (port->linked() || *a == *b) return fail(fmt::format("\"{}\" is linked twice", *end));
  const auto medium_a = (*a)->capabilities().medium;
  const auto medium_b = (*b)->capabilities().medium;
  if (medium_a != medium_b)
    return fail(fmt::format("\"{}\" carries {} and \"{}\" {}: they cannot be linked", spec.a,
                            medium_name(medium_a), spec.b, medium_name(medium_b)));
  auto into_b = join(**a, **b);
  if (!into_b) return tl::unexpected(into_b.error());
  auto into_a = join(**b, **a);
  if (!into_a) return tl::unexpected(into_a.error());
  (*a)->connect(*into_b ? **into_b : **b);
  (*b)->connect(*into_a ? **into_a : **a);
  links_.push_back(Link{spec, *a, *b, std::move(*into_a), std::move(*into_b)});
  return {};
}

// Nothing stands between two ports where the consumer takes all that the producer emits.
Result<std::unique_ptr<PacketSink>> Graph::join(Port& producer, Port& consumer) {
  if (consumer.capabilities().covers(producer.emits())) return std::unique_ptr<PacketSink>();
  return adapter_(producer, consumer);
}

}  // namespace warren
