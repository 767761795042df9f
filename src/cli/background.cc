#include "cli/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "cli/commands.h"

namespace warren::cli {

namespace {

[[noreturn]] void end_with(pid_t child, const Fd& from_child) {
  char byte = 0;
  ssize_t size = 0;
  do size = ::read(from_child.get(), &byte, 1);
  while (size < 0 && errno == EINTR);
  if (size == 1) ::_exit(Exit::success);
  // It closed its end without a word, and has said why on stderr.
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : Exit::failed);
}

}  // namespace

Result<Fd> fork_to_background() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("make a pipe");
  Fd from_child(ends[0]);
  Fd to_parent(ends[1]);
  std::fflush(nullptr);
  const auto child = ::fork();
  if (child < 0) return fail_errno("go to the background");
  if (child > 0) {
    to_parent.close();
    end_with(child, from_child);
  }
  ::setsid();
  return to_parent;
}

void is_ready(Fd parent, Output output) noexcept {
  if (const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC)); null) {
    ::dup2(null.get(), STDIN_FILENO);
    if (output == Output::discard) {
      ::dup2(null.get(), STDOUT_FILENO);
      ::dup2(null.get(), STDERR_FILENO);
    }
  }
  (void)!::chdir("/");
  constexpr char byte = 0;
  (void)!::write(parent.get(), &byte, 1);
}

}  // namespace warren::cli
