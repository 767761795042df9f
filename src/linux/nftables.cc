#include "linux/nftables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <warren/fd.h>

extern char** environ;

namespace warren::nftables {

namespace {

struct Outcome {
  int status = 0;
  std::string errors;
};

Result<Fd> memory_file(const std::string& content) {
  Fd file(::memfd_create("nft", MFD_CLOEXEC));
  if (!file) return fail_errno("make a memory file");
  if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0)
    return fail_errno("write a memory file");
  return file;
}

std::string read_all(int file) {
  std::string text(16 * 1024, '\0');
  const auto size = ::pread(file, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

// Files, not pipes: nothing can block on the other.
Result<Outcome> run(std::vector<std::string> arguments, const std::string& input) {
  auto in = memory_file(input);
  auto out = memory_file("");
  if (!in) return tl::unexpected(in.error());
  if (!out) return tl::unexpected(out.error());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in->get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out->get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out->get(), STDERR_FILENO);
  // `warren up` blocks the signals that it reads; nft should not inherit that.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return fail(fmt::format("run nft: {}{}", std::strerror(error),
                            error == ENOENT ? "; install the package nftables" : ""),
                error);
  Outcome outcome;
  while (::waitpid(child, &outcome.status, 0) < 0)
    if (errno != EINTR) return fail_errno("wait for nft");
  outcome.errors = read_all(out->get());
  return outcome;
}

// nft repeats the whole request under its message; the first line says what is wrong.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool is_missing(const std::string& errors) {
  return errors.find("No such file or directory") != std::string::npos;
}

Result<> send(std::vector<std::string> arguments, const std::string& json) {
  const auto outcome = run(std::move(arguments), json);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->status == 0) return {};
  // That is how the kernel says that it lacks an expression.
  if (is_missing(outcome->errors))
    return fail(fmt::format("nft: {} (the kernel lacks an expression of this rule)",
                            first_line(outcome->errors)),
                ENOENT);
  return fail("nft: " + first_line(outcome->errors), EINVAL);
}

}  // namespace

Result<> apply(const std::string& json) { return send({"nft", "-j", "-f", "-"}, json); }
Result<> check(const std::string& json) { return send({"nft", "-c", "-j", "-f", "-"}, json); }

Result<bool> has_table(const std::string& family, const std::string& name) {
  const auto outcome = run({"nft", "-j", "list", "table", family, name}, "");
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->status == 0) return true;
  if (is_missing(outcome->errors)) return false;
  return fail("nft: " + first_line(outcome->errors), EINVAL);
}

Result<> delete_table(const std::string& family, const std::string& name) {
  const auto outcome = run({"nft", "delete", "table", family, name}, "");
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->status == 0 || is_missing(outcome->errors)) return {};
  return fail(fmt::format("remove table {} {}: {}", family, name, first_line(outcome->errors)),
              EINVAL);
}

}  // namespace warren::nftables
