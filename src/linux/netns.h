/// Network namespaces: find one, make one, and work in one for a while.
///
/// A namespace belongs to a thread: entering one changes where this thread's next sockets and
/// devices are made, and nothing else. Descriptors stay bound to the namespace that they were made
/// in.
#pragma once

#include <string>
#include <string_view>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

/// Opens a namespace: "" is the calling thread's own, a name is one of `ip netns`
/// (/run/netns/NAME), and anything with a slash is a path (/proc/PID/ns/net).
[[nodiscard]] Result<Fd> open_netns(std::string_view name);

/// Makes a namespace without a name. It lives as long as a descriptor, device descriptor or process
/// holds it. Its loopback device is down.
[[nodiscard]] Result<Fd> create_netns();

/// Moves the calling thread into the namespace for good.
Result<> enter_netns(int netns);

/// The calling thread is in the namespace while the object lives.
class NetnsScope {
 public:
  /// Needs no privilege where the thread is in the namespace already.
  [[nodiscard]] static Result<NetnsScope> enter(int netns);
  /// As above; does nothing where `name` is empty.
  [[nodiscard]] static Result<NetnsScope> enter(std::string_view name);
  NetnsScope(NetnsScope&&) noexcept = default;
  NetnsScope& operator=(NetnsScope&&) = delete;
  /// Goes back. Ends the process if the kernel refuses: to go on in the wrong namespace would
  /// configure the wrong machine.
  ~NetnsScope();

 private:
  explicit NetnsScope(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

}  // namespace warren
