#include "bench/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bench/missing.h"
#include "bench/table.h"

namespace warren::bench {

namespace {

using Line = std::array<std::string, 5>;

const RowSummary* find(const std::vector<RowSummary>& rows, const std::string& name,
                       const std::string& workload, Direction direction) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const RowSummary& row) {
    return row.result->row == name && row.result->workload == workload &&
           row.result->direction == direction;
  });
  return found == rows.end() ? nullptr : &*found;
}

std::string why_not(const RowSummary& row) {
  if (row.result->skipped)
    return row.result->skipped->starts_with(not_installed) ? "not installed" : "not possible here";
  return row.result->failed ? "failed" : "not measured";
}

std::string loss(const RowSummary& row, const RowSummary* base) {
  if (&row == base) return "0 % (base)";
  if (base == nullptr || base->gbps.median <= 0) return "-";
  return fmt::format("{:+.1f} %", 100 * (row.gbps.median / base->gbps.median - 1));
}

Line line_of(const RowSummary& row, const RowSummary* base, bool first) {
  Line line;
  if (first) line[0] = row.result->row;
  line[1] = row.result->direction == Direction::forward ? "send" : "receive";
  if (row.gbps.runs.empty()) {
    line[2] = why_not(row);
    return line;
  }
  line[2] = fmt::format("{:.3g}", row.gbps.median);
  line[3] = loss(row, base);
  line[4] = fmt::format("{:.0f} %, of it softirq {:.0f} %", row.system_cpu, row.system_softirq);
  return line;
}

}  // namespace

std::string render_view(const View& view, const std::vector<RowSummary>& rows) {
  std::vector<Line> lines = {
      {"link", "direction", "Gbit/s", "against " + view.base, "CPU of the whole machine"}};
  for (const auto& name : view.rows) {
    bool first = true;
    for (const auto direction : {Direction::forward, Direction::reverse}) {
      const auto* row = find(rows, name, view.workload, direction);
      if (row == nullptr) continue;
      lines.push_back(line_of(*row, find(rows, view.base, view.workload, direction), first));
      first = false;
    }
  }
  std::array<std::size_t, std::tuple_size_v<Line>> widths{};
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], width_of(line[i]));
  std::string text = view.title + "\n\n";
  for (std::size_t l = 0; l < lines.size(); ++l) {
    for (std::size_t i = 0; i < lines[l].size(); ++i)
      text += "| " + lines[l][i] + std::string(widths[i] - width_of(lines[l][i]) + 1, ' ');
    text += "|\n";
    if (l > 0) continue;
    for (const auto width : widths) text += "|" + std::string(width + 2, '-');
    text += "|\n";
  }
  return text;
}

}  // namespace warren::bench
