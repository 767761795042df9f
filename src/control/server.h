/// Answers requests on the control socket, from the thread of the Loop.
///
/// A request is one line of JSON and so is its answer; a connection may ask again after it got its
/// answer. The data path shares the thread, so a client can hold it up neither by being slow
/// (nothing blocks) nor by asking for much: a line that is too long, requests that do not wait for
/// their answers, answers that nobody reads and a connection that says nothing for a while all end
/// the connection.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include <warren/fd.h>
#include <warren/loop.h>

namespace warren::control {

class Server {
 public:
  static constexpr std::size_t max_clients = 16;
  static constexpr std::size_t max_request = 64 * 1024;
  static constexpr std::size_t max_pipelined = 16;
  static constexpr std::chrono::seconds idle_limit{30};

  /// A request without its newline; returns the answer without one. Must not throw.
  using Handler = std::function<std::string(std::string_view)>;

  /// Listens on `path`, for this user only. Whoever calls knows that no other process listens
  /// there.
  [[nodiscard]] static Result<std::unique_ptr<Server>> listen(Loop& loop, const std::string& path,
                                                              Handler handler);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

 private:
  struct Client {
    Fd fd;
    std::unique_ptr<Loop::Watch> watch;
    std::string in;
    std::string out;
    Clock::time_point last_heard;
    bool dead = false;
  };

  Server(Loop& loop, Handler handler);
  [[nodiscard]] Result<> watch_listener();
  void accept_all();
  void read_from(Client& client);
  void answer(Client& client);
  void write_to(Client& client);
  void drop(Client& client, std::string_view reason);
  /// Writes on, removes the dead, and drops the silent; runs as long as there are clients.
  void tend();
  void tend_by(Clock::time_point when);

  Loop& loop_;
  Handler handler_;
  Fd listener_;
  std::unique_ptr<Loop::Watch> watch_;
  std::list<Client> clients_;
  Timer timer_;
};

}  // namespace warren::control
