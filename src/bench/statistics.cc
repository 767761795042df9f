#include "bench/statistics.h"

#include <algorithm>
#include <utility>

namespace warren::bench {

Summary summarize(std::vector<double> runs) {
  Summary summary;
  summary.runs = std::move(runs);
  if (summary.runs.empty()) return summary;
  auto sorted = summary.runs;
  std::sort(sorted.begin(), sorted.end());
  const auto middle = sorted.size() / 2;
  summary.median =
      sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  summary.min = sorted.front();
  summary.max = sorted.back();
  return summary;
}

}  // namespace warren::bench
