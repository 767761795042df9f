#include "bench/flamegraph.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "bench/wait.h"

namespace warren::bench {

namespace {

constexpr double width = 1150;
constexpr int row_height = 17;
constexpr double letter_width = 6.6;
constexpr std::string_view kernel_mark = "_[k]";

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// "  ffffffff81ff62b8 ip_rcv ([kernel.kallsyms])" is ip_rcv_[k]; where there is no symbol, the
// object's name stands.
std::string function_of(std::string_view line) {
  line = trimmed(line);
  line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
  const auto object_at = line.rfind(" (");
  auto name = trimmed(line.substr(0, object_at));
  auto object = object_at == std::string_view::npos ? "" : line.substr(object_at + 2);
  if (object.ends_with(')')) object.remove_suffix(1);
  if (name == "[unknown]" || name.empty()) {
    const auto file = object.substr(object.rfind('/') + 1);
    return fmt::format("[{}]", file.empty() || file == "[unknown]" ? "unknown" : file);
  }
  const bool kernel = object.starts_with("[kernel") || object.starts_with("[guest");
  return std::string(name) + std::string(kernel ? kernel_mark : "");
}

std::size_t depth_of(const CallTree& tree) {
  std::size_t deepest = 0;
  for (const auto& [name, call] : tree.calls) deepest = std::max(deepest, depth_of(call));
  return deepest + 1;
}

// Kernel warm, programs cool; neighbours differ a little, the same function is the same in every
// graph.
std::string colour_of(const std::string& name, bool kernel) {
  const auto shade = static_cast<int>(std::hash<std::string>{}(name) % 40);
  return kernel ? fmt::format("hsl({},72%,{}%)", 24 + shade / 2, 62 + shade % 10)
                : fmt::format("hsl({},45%,{}%)", 195 + shade / 2, 66 + shade % 10);
}

class Drawing {
 public:
  explicit Drawing(const CallTree& root) : total_(static_cast<double>(root.samples)) {
    height_ = static_cast<int>(depth_of(root)) * row_height + 4;
    svg_ =
        fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="100%" )"
                    R"(font-family="sans-serif" font-size="11">)",
                    width, height_);
    draw("all", root, 0, 0);
    svg_ += "</svg>\n";
  }
  [[nodiscard]] std::string take() { return std::move(svg_); }

 private:
  void draw(std::string name, const CallTree& tree, double x, int level) {
    const double share = static_cast<double>(tree.samples) / total_;
    const double wide = share * width;
    if (wide < 1) return;
    const bool kernel = name.ends_with(kernel_mark);
    if (kernel) name.resize(name.size() - kernel_mark.size());
    const int y = height_ - (level + 1) * row_height;
    const auto letters = static_cast<std::size_t>((wide - 6) / letter_width);
    const auto label = name.size() <= letters ? name
                       : letters < 4          ? ""
                                              : name.substr(0, letters - 1) + "…";
    svg_ += fmt::format(
        R"(<g><title>{}{} ({} samples, {:.1f} %)</title><rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" )"
        R"(fill="{}" rx="1"/><text x="{:.1f}" y="{}" fill="#1d2329">{}</text></g>)",
        escape_xml(name), kernel ? ", kernel" : "", tree.samples, share * 100, x, y,
        std::max(wide - 0.5, 0.5), row_height - 1, level == 0 ? "#d7dce0" : colour_of(name, kernel),
        x + 3, y + 12, escape_xml(label));
    for (const auto& [callee, call] : tree.calls) {
      draw(callee, call, x, level + 1);
      x += static_cast<double>(call.samples) / total_ * width;
    }
  }

  double total_;
  int height_ = 0;
  std::string svg_;
};

// A folder that goes with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto pattern = (std::filesystem::temp_directory_path() / "warren-perf-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<> await_end(Process& process) {
  auto ended = wait_until(
      fmt::format("the end of {}", process.name()),
      [&]() -> Result<bool> { return !process.running(); }, Milliseconds{60000});
  if (!ended) return ended;
  if (!process.succeeded()) return fail(process.obituary());
  return {};
}

Result<std::string> profile(const ScenarioResult& result, const Row& row, const Places& places) {
  const TemporaryFolder folder;
  if (folder.path().empty()) return fail_errno("make a temporary folder");
  const auto file = folder.path() + "/perf.data";
  auto bed = Testbed::build(result.scenario, row, places);
  if (!bed) return tl::unexpected(bed.error());
  std::string pids;
  for (const pid_t pid : (*bed)->forwarders())
    pids += (pids.empty() ? "" : ",") + std::to_string(pid);
  std::vector<std::string> words = {"perf", "record", "--quiet",  "--freq",
                                    "499",  "-g",     "--output", file};
  if (pids.empty()) words.emplace_back("--all-cpus");
  if (!pids.empty()) words.insert(words.end(), {"--pid", pids});
  words.insert(words.end(), {"--", "sleep", std::to_string(result.timing.duration_s)});

  Result<std::unique_ptr<Process>> perf = fail("perf was not started");
  std::vector<std::string> commands;
  const auto& workload = first_workload(result.scenario, row);
  auto run =
      measure(**bed, workload_of(workload, row), workload_beside(result.scenario, workload, row),
              workload.iperf3.directions.front(), {result.timing.duration_s + 1, 0}, commands,
              [&] { perf = Process::start({words, {}}, nullptr); });
  if (!run) return tl::unexpected(run.error());
  if (!perf) return tl::unexpected(perf.error());
  if (auto ended = await_end(**perf); !ended) return tl::unexpected(ended.error());
  auto script = Process::start(
      {{"perf", "script", "--input", file, "--fields", "comm,ip,sym,dso"}, {}}, nullptr);
  if (!script) return tl::unexpected(script.error());
  if (auto ended = await_end(**script); !ended) return tl::unexpected(ended.error());
  const auto tree = fold_stacks((*script)->output());
  if (tree.samples == 0) return fail("perf took no samples");
  return render_flame_graph(tree);
}

}  // namespace

CallTree fold_stacks(std::string_view perf_script) {
  CallTree root;
  std::string thread;
  std::vector<std::string> stack;
  const auto end_sample = [&] {
    if (thread.empty()) return;
    auto* at = &root;
    ++at->samples;
    stack.push_back(std::move(thread));
    for (auto function = stack.rbegin(); function != stack.rend(); ++function) {
      at = &at->calls[*function];
      ++at->samples;
    }
    stack.clear();
    thread.clear();
  };
  while (!perf_script.empty()) {
    const auto end = std::min(perf_script.find('\n'), perf_script.size());
    const auto line = perf_script.substr(0, end);
    perf_script.remove_prefix(std::min(end + 1, perf_script.size()));
    if (trimmed(line).empty()) {
      end_sample();
    } else if (line.front() != '\t' && line.front() != ' ') {
      end_sample();
      thread = trimmed(line);
    } else if (!thread.empty()) {
      stack.push_back(function_of(line));
    }
  }
  end_sample();
  return root;
}

std::string render_flame_graph(const CallTree& tree) { return Drawing(tree).take(); }

Result<> check_perf() {
  if (find_program("perf").empty())
    return fail("--flamegraph needs perf, which is not installed: apt-get install linux-perf");
  return {};
}

std::vector<FlameGraph> take_flame_graphs(const ScenarioResult& result, const Places& places) {
  std::vector<FlameGraph> graphs;
  for (const auto& row : result.scenario.rows) {
    if (interrupted()) break;
    const auto measured =
        std::any_of(result.rows.begin(), result.rows.end(),
                    [&](const RowResult& r) { return r.row == row.name && !r.runs.empty(); });
    if (!measured) continue;
    FlameGraph graph{result.scenario.name, row.name, {}, {}};
    auto svg = profile(result, row, places);
    const bool alone = row.command.empty() && row.networks.empty() &&
                       std::all_of(row.programs.begin(), row.programs.end(), [&](const auto& name) {
                         return named(result.scenario.programs, name).ends;
                       });
    if (svg) {
      graph.svg = std::move(*svg);
      graph.note = fmt::format(
          "Where {} spent its time, in a run of its own, {}: kernel functions are orange, others "
          "blue.",
          alone ? "the whole machine" : "the forwarder",
          direction_name(first_workload(result.scenario, row).iperf3.directions.front()));
    } else {
      graph.note = "No flame graph: " + svg.error().message;
    }
    graphs.push_back(std::move(graph));
  }
  return graphs;
}

}  // namespace warren::bench
