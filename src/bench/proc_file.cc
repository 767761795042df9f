#include "bench/proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include <warren/fd.h>

namespace warren::bench {

std::string read_proc_file(const std::filesystem::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const auto count = fd ? ::read(fd.get(), part.data(), part.size()) : -1;
    if (count < 0) return {};
    if (count == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace warren::bench
