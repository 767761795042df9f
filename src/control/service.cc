#include "control/service.h"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/log.h"

namespace warren::control {

namespace {

using Json = nlohmann::ordered_json;

Json describe(const Counters& counters) {
  Json drops = Json::object();
  for (std::size_t i = 0; i < drop_reason_count; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (const auto count = counters.dropped(reason); count != 0)
      drops[std::string(drop_reason_name(reason))] = count;
  }
  return {{"packets", counters.packets.value()},
          {"bytes", counters.bytes.value()},
          {"dropped", counters.dropped()},
          {"drops", std::move(drops)}};
}

Json describe(const Port& port) {
  return {{"name", port.name()},
          {"medium", port.capabilities().medium == Medium::ip ? "ip" : "ethernet"},
          {"linked", port.linked()},
          {"received", describe(port.received)},
          {"sent", describe(port.sent)}};
}

Json describe(Node& node) {
  Json details = Json::object();
  for (const auto& [key, value] : node.details()) details[key] = value;
  Json ports = Json::array();
  for (const auto* port : node.ports()) ports.push_back(describe(*port));
  return {{"name", node.name()},
          {"kind", node.kind()},
          {"details", std::move(details)},
          {"ports", std::move(ports)}};
}

Json refusal(const std::string& why) { return {{"ok", false}, {"error", why}}; }

// A name in a file need not be UTF-8; JSON is.
std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json status(const std::string& name, const std::string& file, Clock::duration uptime,
            const Loop& loop, const Graph& graph) {
  Json nodes = Json::array();
  for (auto* node : graph.nodes()) nodes.push_back(describe(*node));
  Json links = Json::array();
  for (const auto& link : graph.spec().links) links.push_back({link.a, link.b});
  Json status = {{"name", name},
                 {"pid", ::getpid()},
                 {"file", file},
                 {"uptime_seconds", std::chrono::duration<double>(uptime).count()},
                 {"backend", loop.backend()}};
  if (!loop.fallback_reason().empty()) status["backend_reason"] = loop.fallback_reason();
  status["nodes"] = std::move(nodes);
  status["links"] = std::move(links);
  return status;
}

}  // namespace

std::string Service::handle(std::string_view request) const {
  const auto json = Json::parse(request, nullptr, false);
  if (!json.is_object()) return line(refusal("the request is not a JSON object"));
  const auto found = json.find("command");
  if (found == json.end() || !found->is_string())
    return line(refusal("the request has no \"command\""));
  const auto command = found->get<std::string>();
  if (command == "status") {
    const auto uptime = Clock::now() - started_;
    return line({{"ok", true}, {"status", status(name_, file_, uptime, loop_, graph_)}});
  }
  if (command == "reload") {
    const auto done = actions_.reload();
    return line(done ? Json{{"ok", true}} : refusal(done.error().message));
  }
  if (command == "down") {
    actions_.down();
    return line({{"ok", true}});
  }
  return line(refusal("unknown command \"" + command +
                      "\"; there are \"status\", \"reload\" and \"down\""));
}

}  // namespace warren::control
