#include "tunnel/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <string_view>

#include <warren/fd.h>

namespace warren::tunnel {

namespace {

constexpr std::size_t max_size = std::size_t{16} << 20;

Result<> check(const struct stat& status, const std::string& path) {
  if (!S_ISREG(status.st_mode)) return fail(path + ": it is not a file", EINVAL);
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return fail(
        fmt::format("{}: it holds keys and belongs to user {}, who could change it; make it "
                    "yours with `chown`",
                    path, status.st_uid),
        EACCES);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return fail(fmt::format("{0}: it holds keys, and others may read it; run: chmod 600 {0}", path),
                EACCES);
  if (static_cast<std::size_t>(status.st_size) > max_size)
    return fail(fmt::format("{}: it is larger than {} bytes", path, max_size), EFBIG);
  return {};
}

}  // namespace

Result<wireguard::SecretText> read_secret_file(const std::string& path) {
  // Not waiting, in case it is a pipe.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return fail_errno(path);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(path);
  if (auto good = check(status, path); !good) return tl::unexpected(good.error());
  wireguard::SecretText text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const auto got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

Result<crypto::Key> read_key_file(const std::string& path) {
  const auto text = read_secret_file(path);
  if (!text) return tl::unexpected(text.error());
  std::string_view line = *text;
  line = line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
  crypto::Key key;
  if (!wireguard::decode_base64(line, key.bytes()))
    return fail(path + ": it holds no key: 44 characters of base64, such as `wg genkey` prints",
                EINVAL);
  return key;
}

}  // namespace warren::tunnel
