#include "bench/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "bench/host.h"
#include "bench/wait.h"

namespace warren::bench {

namespace {

constexpr int patience_ms = 2000;
constexpr std::size_t obituary_bytes = 2000;

std::string read_from(int file, std::size_t offset) {
  std::string text;
  char chunk[16384];
  ssize_t got;
  while ((got = ::pread(file, chunk, sizeof chunk, static_cast<off_t>(offset))) > 0) {
    text.append(chunk, static_cast<std::size_t>(got));
    offset += static_cast<std::size_t>(got);
  }
  return text;
}

std::string tail(int file) {
  struct stat status{};
  if (::fstat(file, &status) != 0) return {};
  const auto size = static_cast<std::size_t>(status.st_size);
  auto text = read_from(file, size > obituary_bytes ? size - obituary_bytes : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const auto& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& own) {
  std::vector<std::string> all = own;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view inherited = *entry;
    const auto name = inherited.substr(0, inherited.find('=') + 1);
    if (std::none_of(own.begin(), own.end(), [&](const auto& e) { return e.starts_with(name); }))
      all.emplace_back(inherited);
  }
  return all;
}

struct Launch {
  const Host* host;
  const char* program;
  char** words;
  char** environment;
  const char* directory;
  int output;
  int errors;
  int report;  // closed by a successful exec; otherwise carries errno
};

[[noreturn]] void child_main(const Launch& launch) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) ::signal(signal, SIG_DFL);
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  // Entering the mount namespace puts the process at its root.
  const bool ready =
      (launch.host == nullptr || (enter_host(*launch.host) && ::chdir(launch.directory) == 0)) &&
      nothing >= 0 && ::dup2(nothing, 0) == 0 && ::dup2(launch.output, 1) == 1 &&
      ::dup2(launch.errors, 2) == 2;
  if (ready) ::execve(launch.program, launch.words, launch.environment);
  const int error = errno;
  [[maybe_unused]] const auto told = ::write(launch.report, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (quote != 0)
    return fail(fmt::format("the command `{}` has a {} that is not closed", line, quote));
  if (words.empty()) return fail("the command is empty");
  return words;
}

std::string join_words(const std::vector<std::string>& words) {
  std::string line;
  for (const auto& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_of(" \t\n'\"\\$&|;<>()*?`#~{}[]!") == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::string find_program(const std::string& name) {
  const auto is_program = [](const std::string& path) {
    std::error_code error;
    return ::access(path.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(path, error);
  };
  if (name.find('/') != std::string::npos) {
    return is_program(name) ? std::filesystem::absolute(name).string() : std::string{};
  }
  const char* variable = std::getenv("PATH");
  std::string_view path =
      variable != nullptr ? variable : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
  while (!path.empty()) {
    const auto end = std::min(path.find(':'), path.size());
    auto candidate = fmt::format("{}/{}", path.substr(0, end), name);
    if (is_program(candidate)) return candidate;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return {};
}

Result<std::unique_ptr<Process>> Process::start(const Command& command, const Host* host) {
  const auto program = find_program(command.words.front());
  if (program.empty())
    return fail(fmt::format("{}: no such program", command.words.front()), ENOENT);
  std::unique_ptr<Process> process(new Process);
  process->name_ = std::filesystem::path(program).filename().string();
  process->output_ = Fd(::memfd_create("stdout", MFD_CLOEXEC));
  process->errors_ = Fd(::memfd_create("stderr", MFD_CLOEXEC));
  int ends[2];
  if (!process->output_ || !process->errors_ || ::pipe2(ends, O_CLOEXEC) != 0)
    return fail_errno(fmt::format("{}: make its files", process->name_));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  const auto environment = merged_environment(command.environment);
  auto words = pointers(command.words);
  auto variables = pointers(environment);
  const auto directory = std::filesystem::current_path().string();
  const Launch launch{host,
                      program.c_str(),
                      words.data(),
                      variables.data(),
                      directory.c_str(),
                      process->output_.get(),
                      process->errors_.get(),
                      write_end.get()};
  const pid_t pid = host != nullptr ? fork_into(*host) : ::fork();
  if (pid == 0) child_main(launch);
  if (pid < 0) return fail_errno(fmt::format("{}: fork", process->name_));
  process->pid_ = pid;
  process->pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  write_end.close();
  int error = 0;
  if (::read(read_end.get(), &error, sizeof error) == sizeof error)
    return fail_errno(fmt::format("start {}", program), error);
  return process;
}

Process::~Process() { stop(); }

void Process::reap(int options) {
  if (ended_ || pid_ < 0) return;
  const pid_t got = ::waitpid(pid_, &status_, options);
  if (got == pid_ || (got < 0 && errno == ECHILD)) ended_ = true;
}

bool Process::running() {
  reap(WNOHANG);
  return pid_ >= 0 && !ended_;
}

bool Process::succeeded() { return !running() && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

void Process::stop() {
  if (!running()) return;
  ::kill(-pid_, SIGTERM);
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (::poll(&ended, 1, patience_ms) <= 0) ::kill(-pid_, SIGKILL);
  reap(0);
}

std::string Process::output() const { return read_from(output_.get(), 0); }

std::string Process::obituary() {
  std::string text;
  if (running()) {
    text = fmt::format("{} is still running", name_);
  } else if (WIFSIGNALED(status_)) {
    text = fmt::format("{} was killed by signal {} ({})", name_, WTERMSIG(status_),
                       ::strsignal(WTERMSIG(status_)));
  } else {
    text = fmt::format("{} exited with status {}", name_, WEXITSTATUS(status_));
  }
  auto last_words = tail(errors_.get());
  if (last_words.empty()) last_words = tail(output_.get());
  return last_words.empty() ? text : text + ":\n" + last_words;
}

Result<std::string> run_to_end(const Command& command, const Host* host) {
  auto process = Process::start(command, host);
  if (!process) return tl::unexpected(process.error());
  const auto ended = wait_until("the end of " + join_words(command.words),
                                [&]() -> Result<bool> { return !(*process)->running(); });
  if (!ended) return tl::unexpected(ended.error());
  if (!(*process)->succeeded()) return fail((*process)->obituary());
  return (*process)->output();
}

}  // namespace warren::bench
