/// Waiting for conditions, never for time to pass; Ctrl-C ends every wait.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <warren/result.h>

namespace warren::bench {

/// Catches SIGINT and SIGTERM while it lives; interrupted() tells of them from then on. A second
/// signal ends warren at once, and the hosts with it.
class InterruptScope {
 public:
  InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  ~InterruptScope();
};

[[nodiscard]] bool interrupted();
/// The error that a wait ends with after a signal.
[[nodiscard]] tl::unexpected<Error> fail_interrupted();
[[nodiscard]] bool is_interruption(const Error& error);

using Milliseconds = std::chrono::milliseconds;
inline constexpr Milliseconds patience{10000};

/// Asks every few milliseconds until the answer is true or an error; fails with `what` after
/// `patience`.
Result<> wait_until(const std::string& what, const std::function<Result<bool>()>& condition,
                    Milliseconds limit = patience, Milliseconds interval = Milliseconds{5});

/// For what is still under way to `socket`: calls `receive` when something has arrived, until `all`
/// has or a second is over.
Result<> receive_rest(int socket, const std::function<Result<>()>& receive,
                      const std::function<bool()>& all);

}  // namespace warren::bench
