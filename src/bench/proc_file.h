/// Files of /proc: what the kernel tells of a process that may end at any time.
#pragma once

#include <filesystem>
#include <string>

namespace warren::bench {

/// The whole file; empty where there is none, and also where its process ends while it is read (at
/// which the iterators of a stream would throw).
[[nodiscard]] std::string read_proc_file(const std::filesystem::path& path);

}  // namespace warren::bench
