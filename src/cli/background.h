/// Going to the background, for programs that are ready when they do.
#pragma once

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::cli {

/// Forks. The child gets what is_ready() takes, has a session of its own, and still writes to the
/// terminal. The parent never returns: it ends with status 0 when the child is ready, or with the
/// child's when that ends before.
///
/// Call it before other threads are made.
[[nodiscard]] Result<Fd> fork_to_background();

enum class Output { keep, discard };

/// Lets the parent end, and goes on without the terminal; with Output::keep messages still go where
/// they went.
void is_ready(Fd parent, Output output) noexcept;

}  // namespace warren::cli
