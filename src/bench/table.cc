#include "bench/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace warren::bench {

namespace {

using Cells = std::vector<std::string>;

struct Line {
  Cells cells;       // under the headings
  std::string note;  // in place of all cells after the second: why there are no figures
  bool failed = false;
};

std::string number(std::optional<double> value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string pair(std::optional<double> a, std::optional<double> b, int digits) {
  return a ? fmt::format("{} / {}", number(a, digits), number(b, digits)) : "-";
}

// Small rates need more digits to be compared.
int digits_of(double gbps) { return gbps < 1 ? 3 : gbps < 10 ? 2 : 1; }

std::string spread(const Summary& summary) {
  const int digits = digits_of(summary.median);
  return fmt::format("[{:.{}f}–{:.{}f}]", summary.min, digits, summary.max, digits);
}

// The optional columns.
struct Columns {
  bool loopback = false;
  std::string relative_to;
  bool udp = false;
};

Cells headings(const Columns& columns) {
  const auto& relative_to = columns.relative_to;
  Cells cells = {"row", "direction", "Gbit/s", "[min–max]"};
  if (columns.loopback) cells.emplace_back("×loopback");
  if (!relative_to.empty()) cells.push_back("×" + relative_to);
  cells.push_back(columns.udp ? "lost %" : "retransmits");
  for (const auto* heading : {"CPU avg / max %", "system % (softirq)", "RSS avg / max MiB"})
    cells.emplace_back(heading);
  return cells;
}

// What happened, and the program's last words.
std::string in_one_line(const std::string& reason) {
  const auto first_end = reason.find('\n');
  if (first_end == std::string::npos) return reason;
  return reason.substr(0, first_end) + " " + reason.substr(reason.rfind('\n') + 1);
}

Line line_of(const RowSummary& row, const Columns& columns) {
  Line line;
  line.cells = {row.result->row, std::string(direction_name(row.result->direction))};
  line.failed = row.result->failed.has_value();
  if (row.gbps.runs.empty()) {
    line.note = line.failed ? "FAILED: " + in_one_line(*row.result->failed) : "not measured";
    return line;
  }
  auto& cells = line.cells;
  cells.push_back(number(row.gbps.median, digits_of(row.gbps.median)));
  cells.push_back(spread(row.gbps));
  if (columns.loopback) cells.push_back(number(row.ratio_to_loopback, 3));
  if (!columns.relative_to.empty()) cells.push_back(number(row.ratio, 3));
  if (row.lost_percent)
    cells.push_back(number(row.lost_percent->median, 2));
  else
    cells.push_back(row.retransmits ? number(row.retransmits->median, 0) : "-");
  cells.push_back(pair(row.cpu_avg, row.cpu_max, 0));
  cells.push_back(fmt::format("{:.0f} ({:.0f})", row.system_cpu, row.system_softirq));
  cells.push_back(pair(row.rss_avg_mib, row.rss_max_mib, 1));
  return line;
}

// Columns on a terminal; of UTF-8, only the first byte of a character counts.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string padded(const std::string& text, std::size_t width, bool left) {
  const std::string blanks(width - std::min(width, width_of(text)), ' ');
  return left ? text + blanks : blanks + text;
}

std::string paint(const std::string& text, const char* code, bool colour) {
  return colour ? fmt::format("\033[{}m{}\033[0m", code, text) : text;
}

std::string render_line(const Cells& cells, const std::vector<std::size_t>& widths) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i)
    text += "  " + padded(cells[i], widths[i], i < 2 || i == 3);
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

std::string describe(const ScenarioResult& result, const Workload& workload) {
  const auto& iperf3 = workload.iperf3;
  std::string text = fmt::format("iperf3 {}", iperf3.udp ? "UDP" : "TCP " + iperf3.congestion);
  if (!iperf3.rate.empty()) text += fmt::format(" at {}bit/s", iperf3.rate);
  text += fmt::format(", {} stream{}", iperf3.streams, iperf3.streams == 1 ? "" : "s");
  return text +
         fmt::format(", {} s after {} s of warm-up, {} round{} over all rows; median [min–max]",
                     result.options.duration_s, result.options.warmup_s, result.options.repeat,
                     result.options.repeat == 1 ? "" : "s");
}

std::vector<Line> lines_of(const std::vector<RowSummary>& rows, const Workload& workload,
                           const std::string& relative_to) {
  Columns columns{false, relative_to, workload.iperf3.udp};
  for (const auto& row : rows) columns.loopback = columns.loopback || row.ratio_to_loopback;
  std::vector<Line> lines = {{headings(columns), {}, false}};
  for (const auto& row : rows) {
    if (row.result->workload != workload.name || row.result->skipped) continue;
    auto line = line_of(row, columns);
    // A row that failed for one reason says it once.
    auto& before = lines.back();
    if (!line.note.empty() && line.note == before.note && line.cells[0] == before.cells[0])
      before.cells[1] = "both";
    else
      lines.push_back(std::move(line));
  }
  return lines;
}

std::string render_lines(const std::vector<Line>& lines, bool colour) {
  std::vector<std::size_t> widths(lines.front().cells.size(), 0);
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.cells.size(); ++i)
      widths[i] = std::max(widths[i], width_of(line.cells[i]));
  std::string text = paint(render_line(lines.front().cells, widths), "1", colour) + "\n";
  for (std::size_t i = 1; i < lines.size(); ++i) {
    auto rendered = render_line(lines[i].cells, widths);
    if (!lines[i].note.empty()) {
      rendered =
          render_line({padded(lines[i].cells[0], widths[0], true), lines[i].cells[1]}, widths);
      rendered = paint(padded(rendered, widths[0] + widths[1] + 4, true) + "  " + lines[i].note,
                       lines[i].failed ? "31" : "2", colour);
    }
    text += rendered + "\n";
  }
  return text;
}

// The peers that this machine lacks, in one line.
std::string skipped_rows(const std::vector<RowSummary>& rows, const Workload& workload) {
  std::string names;
  std::string last;
  for (const auto& row : rows) {
    if (row.result->workload != workload.name || !row.result->skipped || row.result->row == last)
      continue;
    last = row.result->row;
    names += (names.empty() ? "" : ", ") + last;
  }
  return names.empty()
             ? ""
             : fmt::format("  Not installed (--peer NAME=COMMAND says where): {}\n", names);
}

}  // namespace

std::string render_table(const ScenarioResult& result, const std::vector<RowSummary>& rows,
                         const std::string& relative_to, const TableStyle& style) {
  auto text =
      paint(fmt::format("{}: {}", result.scenario.name, result.scenario.title), "1", style.colour);
  for (const auto& workload : result.scenario.workloads) {
    text += fmt::format("\n{}: {}\n\n", workload.name, describe(result, workload));
    text += render_lines(lines_of(rows, workload, relative_to), style.colour);
    text += skipped_rows(rows, workload);
  }
  return text + "\n";
}

}  // namespace warren::bench
