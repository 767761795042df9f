/// The terminal's table of a scenario.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bench/row_summary.h"

namespace warren::bench {

struct TableStyle {
  bool colour = false;
};

/// One line per row and direction, with a heading that names the columns' units.
[[nodiscard]] std::string render_table(const ScenarioResult& result,
                                       const std::vector<RowSummary>& rows,
                                       const TableStyle& style);

/// Columns that the text takes on a terminal: of UTF-8, only the first byte of a character counts.
[[nodiscard]] std::size_t width_of(std::string_view text);

}  // namespace warren::bench
