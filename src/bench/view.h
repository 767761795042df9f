/// `--view`: some rows of one workload in the form in which others have published theirs, so that the
/// two can be laid side by side: rate, loss against the direct link, and what the whole machine
/// spends (a carrier in the kernel burns softirq time that no process shows).
#pragma once

#include <string>
#include <vector>

#include "bench/row_summary.h"

namespace warren::bench {

/// A Markdown table: two lines per row, send and receive as the client sees them. Rows that were not
/// measured say why.
[[nodiscard]] std::string render_view(const View& view, const std::vector<RowSummary>& rows);

}  // namespace warren::bench
