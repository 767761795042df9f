/// The other end of the control socket: asks a running instance.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::control {

/// Blocks; for command-line tools and tests.
class Client {
 public:
  /// Errors say whether nothing of that name runs, or we may not talk to it.
  [[nodiscard]] static Result<Client> connect(const std::string& instance,
                                              std::chrono::milliseconds timeout);
  /// The same by the path of its socket, which may be another host's: `instance` is for messages.
  [[nodiscard]] static Result<Client> connect_at(const std::string& path,
                                                 const std::string& instance,
                                                 std::chrono::milliseconds timeout);
  /// Sends one line and returns the answer, without its newline.
  [[nodiscard]] Result<std::string> ask(std::string_view request);

 private:
  Client(std::string instance, Fd fd) : instance_(std::move(instance)), fd_(std::move(fd)) {}

  std::string instance_;
  Fd fd_;
  std::string unread_;
};

}  // namespace warren::control
