#include "bench/wait.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <cerrno>
#include <csignal>

namespace warren::bench {

namespace {
volatile std::sig_atomic_t signalled = 0;
void on_signal(int) { signalled = 1; }
}  // namespace

InterruptScope::InterruptScope() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  // The second one takes the default action.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

InterruptScope::~InterruptScope() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
}

bool interrupted() { return signalled != 0; }
tl::unexpected<Error> fail_interrupted() { return fail("interrupted", EINTR); }
bool is_interruption(const Error& error) { return interrupted() && error.code == EINTR; }

Result<> wait_until(const std::string& what, const std::function<Result<bool>()>& condition,
                    Milliseconds limit, Milliseconds interval) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (interrupted()) return fail_interrupted();
    const auto done = condition();
    if (!done) return tl::unexpected(done.error());
    if (*done) return {};
    if (std::chrono::steady_clock::now() >= end)
      return fail(fmt::format("{} did not happen within {} s", what, limit.count() / 1000),
                  ETIMEDOUT);
    ::poll(nullptr, 0, static_cast<int>(interval.count()));
  }
}

Result<> receive_rest(int socket, const std::function<Result<>()>& receive,
                      const std::function<bool()>& all) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (!all() && std::chrono::steady_clock::now() < end) {
    pollfd readable{socket, POLLIN, 0};
    constexpr int look_ms = 10;
    ::poll(&readable, 1, look_ms);
    if (auto received = receive(); !received) return received;
  }
  return {};
}

}  // namespace warren::bench
