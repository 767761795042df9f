/// The HTML report: one file that opens without a network. The page is report.html of this folder;
/// it draws what the JSON says, with Chart.js. Both are in the program since it was built.
#pragma once

#include <string>
#include <string_view>

#include "bench/results.h"

namespace warren::bench {

[[nodiscard]] std::string render_report(const Session& session);

/// JSON that may stand inside a <script> element: no "</" and no "<!--" can end or hide it.
[[nodiscard]] std::string escape_for_script(std::string_view json);

}  // namespace warren::bench
