#include "carrier/libbpf_words.h"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace warren::carrier {

namespace {

std::string& words() {
  static thread_local std::string words;
  return words;
}

__attribute__((format(printf, 2, 0))) int keep(libbpf_print_level level, const char* format,
                                               va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 1024> text;
  std::vsnprintf(text.data(), text.size(), format, arguments);
  words() += text.data();
  return 0;
}

}  // namespace

LibbpfWords::LibbpfWords() : former_(::libbpf_set_print(keep)) { words().clear(); }
LibbpfWords::~LibbpfWords() { ::libbpf_set_print(former_); }

const std::string& LibbpfWords::all() { return words(); }

std::string LibbpfWords::last() {
  const auto& all = words();
  const auto end = all.find_last_not_of('\n');
  if (end == std::string::npos) return {};
  const auto begin = all.rfind('\n', end);
  return all.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

}  // namespace warren::carrier
