/// Keeps what libbpf says on stderr: its last words are the reason of a failure, and the others are
/// of no use to anybody.
#pragma once

#include <bpf/libbpf.h>

#include <string>

namespace warren::carrier {

/// Listens while it lives. One at a time, because the library has one listener.
class LibbpfWords {
 public:
  LibbpfWords();
  LibbpfWords(const LibbpfWords&) = delete;
  LibbpfWords& operator=(const LibbpfWords&) = delete;
  ~LibbpfWords();

  /// All of them.
  [[nodiscard]] static const std::string& all();
  /// The last line.
  [[nodiscard]] static std::string last();

 private:
  libbpf_print_fn_t former_;
};

}  // namespace warren::carrier
