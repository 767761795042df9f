#include "bench/report.h"

// Assembled in, because a string literal of this size would take the compiler longer than all the
// rest.
#define EMBED(name, file)                                                                     \
  asm(".section .rodata\n"                                                                    \
      ".global " #name "_begin, " #name "_end\n" #name "_begin: .incbin \"" file "\"\n" #name \
      "_end: .byte 0\n"                                                                       \
      ".previous\n");                                                                         \
  extern "C" const char name##_begin[];                                                       \
  extern "C" const char name##_end[];

EMBED(warren_report_page, WARREN_REPORT_PAGE)
EMBED(warren_chart_js, WARREN_CHART_JS)

namespace warren::bench {

namespace {

std::string_view page() { return {warren_report_page_begin, warren_report_page_end}; }
std::string_view chart_js() { return {warren_chart_js_begin, warren_chart_js_end}; }

}  // namespace

std::string escape_for_script(std::string_view json) {
  std::string text;
  text.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

std::string render_report(const Session& session) {
  const auto data = escape_for_script(to_json(session, true));
  std::string html;
  auto rest = page();
  // Each mark stands once in the page, in this order.
  for (const auto& [mark, content] :
       {std::pair<std::string_view, std::string_view>{"/*CHART.JS*/", chart_js()},
        {"/*DATA*/", data}}) {
    const auto at = rest.find(mark);
    html += rest.substr(0, at);
    html += content;
    rest.remove_prefix(at + mark.size());
  }
  return html.append(rest);
}

}  // namespace warren::bench
