/// What is said about repeated runs: the median and the extremes, never a mean that an outlier can
/// bend.
#pragma once

#include <vector>

namespace warren::bench {

struct Summary {
  double median = 0;
  double min = 0;
  double max = 0;
  std::vector<double> runs;  ///< In the order they were measured.
};

/// Of an even number of runs the median is the mean of the two in the middle. All zero if there are
/// none.
[[nodiscard]] Summary summarize(std::vector<double> runs);

}  // namespace warren::bench
