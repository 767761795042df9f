/// The terminal's table of a scenario.
#pragma once

#include <string>
#include <vector>

#include "bench/results.h"

namespace warren::bench {

struct TableStyle {
  bool colour = false;
};

/// One line per row and direction, with a heading that names the columns' units.
[[nodiscard]] std::string render_table(const ScenarioResult& result,
                                       const std::vector<RowSummary>& rows,
                                       const std::string& relative_to, const TableStyle& style);

}  // namespace warren::bench
