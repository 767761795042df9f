/// /var/run/wireguard/NAME.sock: where wg(8) asks and tells an interface (wireguard/uapi.h), from the
/// thread of the Loop.
///
/// The data path shares the thread, so no client can hold it up: nothing blocks, requests are bounded,
/// and who does not read its answer gets no second one. A connection may ask as often as it likes.
///
/// The file stands for the interface: where somebody removes it, `on_removed` is called, as other
/// userspace implementations end then.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include <warren/fd.h>
#include <warren/loop.h>

#include "wireguard/uapi.h"

namespace warren::tunnel {

/// What the server speaks for. Called from the loop's thread; must not destroy the server.
struct UapiHandlers {
  /// Appends the interface and its peers, without the end.
  std::function<void(wireguard::SecretText& out)> get;
  /// The code of an error is the errno value to answer.
  std::function<Result<>(const wireguard::DeviceConfig&)> set;
  std::function<void()> on_removed;
};

/// "/var/run/wireguard/wg0.sock"
[[nodiscard]] std::string uapi_path(std::string_view interface);

/// Listens there, for this user only; makes the directory. A file that a killed process has left is
/// replaced; EADDRINUSE where one that lives listens there.
[[nodiscard]] Result<Fd> listen_uapi(const std::string& path);

class UapiServer {
 public:
  static constexpr std::size_t max_clients = 16;
  /// Enough for 65,535 peers with a thousand bytes each.
  static constexpr std::size_t max_request = std::size_t{64} << 20;

  /// `listener` listens already: of listen_uapi(), or inherited.
  [[nodiscard]] static Result<std::unique_ptr<UapiServer>> create(Loop& loop, Fd listener,
                                                                  UapiHandlers handlers);
  UapiServer(const UapiServer&) = delete;
  UapiServer& operator=(const UapiServer&) = delete;
  /// Removes the file, unless it has become another's.
  ~UapiServer();

 private:
  /// Reads until there is a request, and then writes until its answer is out.
  struct Client {
    Fd fd;
    wireguard::SecretText in;
    std::size_t searched = 0;  ///< so much of `in` has no end of a request
    wireguard::SecretText out;
    std::size_t sent = 0;  ///< of `out`
    Clock::time_point last_heard;
    bool dead = false;
  };
  /// Which file it is, whatever it is called.
  struct FileId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend bool operator==(const FileId&, const FileId&) = default;
  };

  UapiServer(Loop& loop, Fd listener, UapiHandlers handlers);
  [[nodiscard]] Result<> start();
  [[nodiscard]] Result<> watch_file();
  [[nodiscard]] static FileId identify(const std::string& path) noexcept;
  Result<> add_events(int fd, std::uint32_t events, void* who);
  void on_ready();
  void check_file();
  void accept_all();
  void drop_longest_silent();
  void serve(Client& client);
  void read_from(Client& client);
  [[nodiscard]] std::size_t request_length(Client& client) const;
  void handle(Client& client, std::string_view request);
  void write_to(Client& client);

  Loop& loop_;
  UapiHandlers handlers_;
  std::string path_;  ///< empty: the listener is no file
  FileId file_;
  Fd listener_;
  Fd inotify_;
  Fd epoll_;  ///< of all of them: readable when one is ready
  std::unique_ptr<Loop::Watch> watch_;
  std::list<Client> clients_;
};

}  // namespace warren::tunnel
