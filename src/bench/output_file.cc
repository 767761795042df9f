#include "bench/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include <warren/fd.h>

namespace warren::bench {

namespace {

// 0 or errno.
int write_all(Fd file, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(file.get(), text.data(), text.size());
    if (written >= 0) text.remove_prefix(static_cast<std::size_t>(written));
    if (written < 0 && errno != EINTR) return errno;
  }
  // Some file systems tell only here that the disk is full.
  return ::close(file.release()) == 0 ? 0 : errno;
}

// A device or a pipe, which cannot be replaced.
bool is_special(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
}

}  // namespace

Result<> check_writable(const std::string& path) {
  if (path == "-") return {};
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail_errno(fmt::format("make the folder {}", folder.string()), error.value());
  if (std::filesystem::is_directory(path, error))
    return fail_errno(fmt::format("write {}", path), EISDIR);
  const auto& place = is_special(path) ? path : folder.string();
  if (::access(place.c_str(), W_OK) != 0) return fail_errno(fmt::format("write {}", path));
  return {};
}

Result<> write_output(const std::string& path, std::string_view text) {
  const bool to_stdout = path == "-";
  const bool in_place = to_stdout || is_special(path);
  const auto target = in_place ? path : path + ".partial";
  Fd file(to_stdout ? ::dup(STDOUT_FILENO)
                    : ::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  int error = file ? write_all(std::move(file), text) : errno;
  if (error == 0 && !in_place && ::rename(target.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return {};
  if (!in_place) ::unlink(target.c_str());
  return fail_errno(fmt::format("write {}", path), error);
}

}  // namespace warren::bench
