/// A program that warren bench starts, on this machine or in a host, and what became of it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::bench {

class Host;

struct Command {
  std::vector<std::string>
      words;  ///< The program, looked up on PATH unless it has a slash, and its arguments.
  std::vector<std::string>
      environment;  ///< "NAME=value", beside what warren itself was started with.
};

/// Splits a command line at blanks; '…' and "…" keep blanks, and \ keeps the character after it. No
/// shell is involved.
[[nodiscard]] Result<std::vector<std::string>> split_words(std::string_view line);
/// The inverse, for a person to paste into a shell.
[[nodiscard]] std::string join_words(const std::vector<std::string>& words);
/// The full path of a program, or "" if there is none: one with a slash as it is, others by PATH.
[[nodiscard]] std::string find_program(const std::string& name);

class Process {
 public:
  /// Starts it in a session of its own (so Ctrl-C reaches only warren), in `host` or, with nullptr,
  /// beside warren.
  [[nodiscard]] static Result<std::unique_ptr<Process>> start(const Command& command,
                                                              const Host* host);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  /// Ends it, see stop().
  ~Process();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// The program's name without its path.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] bool running();
  /// It has ended with status 0.
  [[nodiscard]] bool succeeded();
  /// Asks it and its session to end (SIGTERM); after two seconds kills them.
  void stop();
  /// Readable (poll) when it has ended.
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

  /// All it has written to standard output.
  [[nodiscard]] std::string output() const;
  /// "NAME exited with status 1" and the last lines of its stderr, or of stdout if stderr is empty.
  [[nodiscard]] std::string obituary();

 private:
  Process() = default;
  void reap(int options);

  pid_t pid_ = -1;
  std::string name_;
  Fd pidfd_;
  Fd output_;  // memory files: a program never waits for warren to read
  Fd errors_;
  bool ended_ = false;
  int status_ = 0;
};

/// Runs a program to its end, which must come within ten seconds and with status 0, and returns what
/// it printed.
[[nodiscard]] Result<std::string> run_to_end(const Command& command, const Host* host);

}  // namespace warren::bench
