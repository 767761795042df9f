/// Unix sockets that are files.
#pragma once

#include <string>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

/// A non-blocking stream socket that listens on `path`, for this user only. Fails with EADDRINUSE where
/// the file is there already, whoever made it.
[[nodiscard]] Result<Fd> listen_unix(const std::string& path, int backlog);

/// True where somebody listens on `path`.
[[nodiscard]] bool answers_unix(const std::string& path) noexcept;

}  // namespace warren
