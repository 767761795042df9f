/// Talking to a running instance, for the subcommands that do.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

#include <warren/result.h>

#include "control/client.h"

namespace warren::cli {

/// Sends {"command":COMMAND} and returns the answer; an answer with "ok":false is an error with its
/// text.
[[nodiscard]] Result<nlohmann::ordered_json> ask(control::Client& client, std::string_view command);
[[nodiscard]] Result<nlohmann::ordered_json> ask(const std::string& instance,
                                                 std::string_view command);

/// `name`, or where it is empty the one instance that runs; it is an error if there is none or a
/// choice.
[[nodiscard]] Result<std::string> choose_instance(const std::string& name);

/// The status that a subcommand ends with; an error is printed.
[[nodiscard]] int report(const Result<>& done);

}  // namespace warren::cli
