#include "cli/ask.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "control/instance.h"
#include "core/log.h"

namespace warren::cli {

Result<nlohmann::ordered_json> ask(control::Client& client, std::string_view command) {
  using Json = nlohmann::ordered_json;
  const Json request = {{"command", command}};
  auto answer = client.ask(request.dump());
  if (!answer) return tl::unexpected(answer.error());
  auto json = Json::parse(*answer, nullptr, false);
  if (!json.is_object()) return fail("the instance's answer is not JSON: is it another version?");
  if (!json.value("ok", false)) return fail(json.value("error", std::string("no reason given")));
  return json;
}

Result<nlohmann::ordered_json> ask(const std::string& instance, std::string_view command) {
  // A reload or a teardown of many devices takes its time.
  auto client = control::Client::connect(instance, std::chrono::seconds(30));
  if (!client) return tl::unexpected(client.error());
  return ask(*client, command);
}

Result<std::string> choose_instance(const std::string& name) {
  if (!name.empty()) return name;
  const auto running = control::running_instances();
  if (running.size() == 1) return running.front();
  if (running.empty())
    return fail(fmt::format("no instance runs (looked in {}); start one with `warren up FILE`",
                            control::run_directory()));
  return fail(fmt::format("several instances run: say which of {}", fmt::join(running, ", ")));
}

int report(const Result<>& done) {
  if (done) return Exit::success;
  log::error("{}", done.error().message);
  return Exit::failed;
}

}  // namespace warren::cli
