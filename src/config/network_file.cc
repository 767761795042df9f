#include "config/network_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "config/node_kinds.h"
#include "config/sections.h"
#include "config/suggest.h"
#include "config/toml_reader.h"

namespace warren::config {

namespace {

// In the order of the file, but that those which need others come behind them.
std::vector<DescribedNode> read_nodes(TomlTable& root) {
  std::vector<DescribedNode> nodes;
  for (const auto& kind : node_kinds())
    for (auto& [name, section] : root.named_tables(kind.name)) {
      if (name.empty() || (!kind.about && name.find('.') != std::string::npos))
        section.error(
            section.position(),
            fmt::format("\"{}\" cannot name a node: links write NODE.PORT, so a name has no dot",
                        name));
      auto config = kind.read(section, name);
      auto node = kind.about ? fmt::format("{}.{}", kind.name, name) : name;
      nodes.push_back({&kind, std::move(node), section.position(), std::move(config)});
    }
  std::ranges::sort(nodes, {}, [](const DescribedNode& node) {
    return std::tuple(node.kind->order, node.position.line, node.position.column, node.name);
  });
  std::map<std::string, const DescribedNode*> seen;
  for (const auto& node : nodes)
    if (const auto [first, added] = seen.emplace(node.name, &node); !added)
      root.error(node.position, fmt::format("there is another node \"{}\", in line {}", node.name,
                                            first->second->position.line));
  link_sections(root, nodes);
  return nodes;
}

// The node that one end of a link means, if that is clear; otherwise the mistake is noted.
const DescribedNode* find_end(TomlTable& root, const std::vector<DescribedNode>& nodes,
                              const TomlString& end) {
  const auto dot = end.text.find('.');
  const auto name = end.text.substr(0, dot);
  const auto node = std::ranges::find(nodes, name, &DescribedNode::name);
  if (node == nodes.end()) {
    std::vector<std::string> names;
    names.reserve(nodes.size());
    for (const auto& known : nodes) names.push_back(known.name);
    root.error(end.position, fmt::format("link to \"{}\": there is no node \"{}\"{}", end.text,
                                         name, suggest(name, names)));
    return nullptr;
  }
  if (node->kind->medium == nullptr || !node->kind->medium(*node->config)) {
    const bool kernels = node->kind->name == "vxlan";
    root.error(end.position,
               fmt::format("link to \"{}\": [{}.…] has no ports; {}", end.text, node->kind->name,
                           kernels ? "say engine = \"user\"" : "it needs no link"));
    return nullptr;
  }
  if (node->kind->ports == nullptr && dot == std::string::npos) return &*node;
  if (node->kind->ports == nullptr) {
    root.error(end.position, fmt::format("link to \"{}\": \"{}\" has one port; write \"{}\"",
                                         end.text, name, name));
    return nullptr;
  }
  const auto ports = node->kind->ports(*node->config);
  if (dot != std::string::npos && std::ranges::find(ports, end.text.substr(dot + 1)) != ports.end())
    return &*node;
  std::string choices;
  for (const auto& port : ports)
    choices += fmt::format("{}\"{}.{}\"", choices.empty() ? "" : " or ", name, port);
  root.error(end.position, fmt::format("link to \"{}\": say which port, {}", end.text, choices));
  return nullptr;
}

std::vector<LinkSpec> read_links(TomlTable& root, const std::vector<DescribedNode>& nodes) {
  std::vector<LinkSpec> links;
  std::set<std::string> taken;
  for (const auto& ends : root.lists("links")) {
    if (ends.size() != 2) {
      const auto message =
          fmt::format("a link has two ends, such as [\"tun11\", \"tun22\"], not {}", ends.size());
      if (ends.empty())
        root.error("links", message);
      else
        root.error(ends[0].position, message);
      continue;
    }
    for (const auto& end : ends)
      if (!taken.insert(end.text).second)
        root.error(end.position,
                   fmt::format("\"{}\" is linked twice; a port has one link", end.text));
    const auto* a = find_end(root, nodes, ends[0]);
    const auto* b = find_end(root, nodes, ends[1]);
    if (a == nullptr || b == nullptr) continue;
    const auto medium_a = *a->kind->medium(*a->config);
    const auto medium_b = *b->kind->medium(*b->config);
    if (medium_a != medium_b)
      root.error(ends[0].position,
                 fmt::format("\"{}\" carries {} and \"{}\" {}: they cannot be linked", ends[0].text,
                             medium_name(medium_a), ends[1].text, medium_name(medium_b)));
    links.push_back({ends[0].text, ends[1].text});
  }
  return links;
}

Result<GraphSpec> read(Result<TomlDocument> document, std::string name) {
  if (!document) return tl::unexpected(document.error());
  auto root = document->root();
  auto nodes = read_nodes(root);
  GraphSpec spec;
  auto joints = join_vxlans(root, nodes);
  spec.links = read_links(root, nodes);
  std::ranges::move(joints, std::back_inserter(spec.links));
  if (auto good = document->finish(); !good) return tl::unexpected(good.error());
  // A file that an editor has emptied should not take a network down.
  if (nodes.empty())
    return fail(std::move(name) + ": describes no node; add a section such as [tun.tun0]");
  for (auto& node : nodes) spec.nodes.push_back({std::move(node.name), std::move(node.config)});
  return spec;
}

}  // namespace

Result<GraphSpec> read_network_file(const std::string& path) {
  return read(TomlDocument::read_file(path), path);
}

Result<GraphSpec> parse_network(std::string_view text, std::string name) {
  auto document = TomlDocument::parse(text, name);
  return read(std::move(document), std::move(name));
}

}  // namespace warren::config
