/// Writes results to files, whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren::bench {

/// Makes the folders on the way to `path` and says whether it could be written; for the time before
/// the work, so that nobody waits minutes to hear it. "-" is stdout.
Result<> check_writable(const std::string& path);

/// A regular file is replaced only by a whole new one: on failure, such as a full disk, it stays as
/// it was.
Result<> write_output(const std::string& path, std::string_view text);

}  // namespace warren::bench
