/// Signals as something to read, so that they are handled between packets.
#pragma once

#include <initializer_list>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::cli {

/// A signalfd, non-blocking. From now on these signals do nothing else, and SIGPIPE nothing at all:
/// whoever read our messages may have gone.
[[nodiscard]] Result<Fd> open_signals(std::initializer_list<int> signals);

/// The next signal that has come; 0 where there is none.
[[nodiscard]] int next_signal(const Fd& signals) noexcept;

}  // namespace warren::cli
