#include "bench/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bench/missing.h"
#include "bench/results.h"

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

std::string spread(const Summary& summary, int digits) {
  return fmt::format("[{:.{}f}–{:.{}f}]", summary.min, digits, summary.max, digits);
}

// What a workload's table shows.
struct Columns {
  bool loopback = false;
  bool ratio = false;
  std::string relative_to;  // where all rows are compared with the same one
  Workload::Tool tool = Workload::Tool::iperf3;
  bool udp = false;
  bool stream = false;
  bool wire = false;  // packets on the wire are counted
  bool fragments = false;
  bool round_trip = false;  // of whatever tool
  bool beside = false;      // with a rate that is not what it is about
  bool largest = false;     // rows with several programs
  bool peers = false;
};

Columns columns_of(const std::vector<RowSummary>& rows, const Workload& workload) {
  Columns columns;
  using Tool = Workload::Tool;
  columns.tool = workload.tool;
  columns.round_trip = workload.tool == Tool::round_trip || workload.tool == Tool::ping;
  columns.stream = workload.tool == Tool::stream;
  columns.udp = columns.stream || (workload.tool == Tool::iperf3 && workload.iperf3.udp);
  columns.beside = !workload.beside.empty();
  bool same = true;
  for (const auto& row : rows) {
    if (row.result->workload != workload.name || row.relative_to.empty()) continue;
    same = same && (!columns.ratio || row.relative_to == columns.relative_to);
    columns.ratio = true;
    columns.relative_to = row.relative_to;
  }
  for (const auto& row : rows) {
    if (row.result->workload != workload.name) continue;
    columns.loopback = columns.loopback || row.ratio_to_loopback;
    columns.largest = columns.largest || row.rss_largest_mib < row.rss_max_mib;
    columns.peers = columns.peers || row.rss_kib_per_peer;
    columns.wire = columns.wire || row.wire_out || row.wire_back;
    columns.fragments = columns.fragments || row.fragments;
  }
  if (!same) columns.relative_to.clear();
  return columns;
}

const char* unit_of(const Columns& columns) {
  if (columns.round_trip) return "µs";
  return columns.tool == Workload::Tool::handshakes ? "per s" : "Gbit/s";
}

bool is_traffic(const Columns& columns) {
  return columns.tool == Workload::Tool::iperf3 || columns.stream;
}

Cells headings(const Columns& columns) {
  const bool traffic = is_traffic(columns);
  Cells cells = {"row", "direction", unit_of(columns), "[min–max]"};
  if (columns.round_trip) cells.emplace_back("p99 µs");
  if (columns.tool == Workload::Tool::handshakes) cells.emplace_back("per core");
  if (columns.beside) cells.emplace_back("Gbit/s");
  if (columns.udp) cells.emplace_back("kpkt/s");
  if (columns.stream)
    for (const auto* heading : {"delay µs", "p99 µs", "jitter µs"}) cells.emplace_back(heading);
  if (columns.loopback) cells.emplace_back("×loopback");
  if (columns.ratio && columns.round_trip) cells.emplace_back("added µs");
  if (columns.ratio)
    cells.push_back("×" + (columns.relative_to.empty() ? "row" : columns.relative_to));
  if (traffic) cells.push_back(columns.udp ? "lost %" : "retransmits");
  if (columns.wire) cells.emplace_back("wire out / back");
  if (columns.fragments) cells.emplace_back("fragments");
  for (const auto* heading : {"CPU avg / max %", "system % (softirq)"}) cells.emplace_back(heading);
  if (traffic) cells.emplace_back("% / Gbit/s");
  cells.emplace_back("RSS avg / max MiB");
  if (columns.largest) cells.emplace_back("one MiB");
  if (columns.peers) cells.emplace_back("KiB/peer");
  return cells;
}

// "0.953 udp+nat" where the heading does not name the row.
std::string ratio_cell(const RowSummary& row, const Columns& columns) {
  if (!row.ratio) return "-";
  return number(row.ratio, 3) + (columns.relative_to.empty() ? " " + row.relative_to : "");
}

std::string median(const std::optional<Summary>& summary, int digits) {
  return summary ? number(summary->median, digits) : "-";
}

std::string per_thousand(const std::optional<Summary>& summary) {
  return summary ? number(summary->median / 1000, 0) : "-";
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
  if (!row.measured()) {
    line.note = line.failed ? "FAILED: " + in_one_line(*row.result->failed) : "not measured";
    return line;
  }
  auto& cells = line.cells;
  const auto& main = row.main();
  const bool traffic = is_traffic(columns);
  const bool handshakes = columns.tool == Workload::Tool::handshakes;
  const int digits = columns.round_trip ? 2 : handshakes ? 0 : digits_of(main.median);
  cells.push_back(number(main.median, digits));
  cells.push_back(spread(main, digits));
  if (columns.round_trip) cells.push_back(number(row.round_trip_p99_us->median, 1));
  if (handshakes) cells.push_back(median(row.handshakes_per_core_s, 0));
  if (columns.beside) cells.push_back(number(row.gbps.median, digits_of(row.gbps.median)));
  if (columns.udp) cells.push_back(per_thousand(row.packets_per_s));
  if (columns.stream) {
    cells.push_back(median(row.delay_us, 0));
    cells.push_back(median(row.delay_p99_us, 0));
    cells.push_back(row.jitter_ms ? number(row.jitter_ms->median * 1000, 0) : "-");
  }
  if (columns.loopback) cells.push_back(number(row.ratio_to_loopback, 3));
  if (columns.ratio && columns.round_trip) cells.push_back(number(row.added_us, 2));
  if (columns.ratio) cells.push_back(ratio_cell(row, columns));
  if (traffic)
    cells.push_back(columns.udp ? median(row.lost_percent, 2) : median(row.retransmits, 0));
  if (columns.wire)
    cells.push_back(fmt::format("{} / {}", median(row.wire_out, 2), median(row.wire_back, 2)));
  if (columns.fragments) cells.push_back(median(row.fragments, 0));
  cells.push_back(pair(row.cpu_avg, row.cpu_max, 0));
  cells.push_back(fmt::format("{:.0f} ({:.0f})", row.system_cpu, row.system_softirq));
  if (traffic) cells.push_back(median(row.cpu_per_gbps, 1));
  cells.push_back(pair(row.rss_avg_mib, row.rss_max_mib, 1));
  if (columns.largest) cells.push_back(number(row.rss_largest_mib, 1));
  if (columns.peers) cells.push_back(number(row.rss_kib_per_peer, 2));
  return line;
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

std::string describe_all(const ScenarioResult& result, const Workload& workload) {
  const auto& timing = result.timing;
  return describe(workload) +
         fmt::format(", {} s after {} s of warm-up, {} round{} over all rows; median [min–max]",
                     timing.duration_s, timing.warmup_s, timing.repeat,
                     timing.repeat == 1 ? "" : "s");
}

std::vector<Line> lines_of(const std::vector<RowSummary>& rows, const Workload& workload) {
  const auto columns = columns_of(rows, workload);
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

// What this machine lacks: the programs in one line, other reasons in one each.
std::string skipped_rows(const std::vector<RowSummary>& rows, const Workload& workload) {
  std::map<std::string, std::string> names;  // by reason
  std::string last;
  for (const auto& row : rows) {
    if (row.result->workload != workload.name || !row.result->skipped || row.result->row == last)
      continue;
    last = row.result->row;
    const bool program = row.result->skipped->starts_with(not_installed);
    auto& list = names[program ? "" : *row.result->skipped];
    list += (list.empty() ? "" : ", ") + last;
  }
  std::string text;
  for (const auto& [reason, list] : names)
    text += reason.empty()
                ? fmt::format("  Not installed (--peer NAME=COMMAND says where): {}\n", list)
                : fmt::format("  Skipped, {}: {}\n", reason, list);
  return text;
}

}  // namespace

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string render_table(const ScenarioResult& result, const std::vector<RowSummary>& rows,
                         const TableStyle& style) {
  auto text =
      paint(fmt::format("{}: {}", result.scenario.name, result.scenario.title), "1", style.colour);
  for (const auto& workload : result.scenario.workloads) {
    const auto of_workload = [&](const RowSummary& row) {
      return row.result->workload == workload.name;
    };
    if (std::none_of(rows.begin(), rows.end(), of_workload)) continue;
    text += fmt::format("\n{}: {}\n\n", workload.name, describe_all(result, workload));
    if (const auto lines = lines_of(rows, workload); lines.size() > 1)
      text += render_lines(lines, style.colour);
    text += skipped_rows(rows, workload);
  }
  return text + "\n";
}

}  // namespace warren::bench
