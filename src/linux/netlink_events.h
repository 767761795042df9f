/// Tells when links or routes of a network namespace change.
///
/// Source: rtnetlink(7), the groups RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE and RTNLGRP_IPV6_ROUTE.
#pragma once

#include <cstdint>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::netlink {

/// For one thread at a time.
class Events {
 public:
  enum class Of : std::uint8_t { links, routes, links_and_routes };

  /// Of the namespace that the calling thread is in now. Routes include the local ones: they tell of
  /// addresses.
  [[nodiscard]] static Result<Events> open(Of what = Of::links_and_routes);
  /// Readable when something has changed; non-blocking.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Takes what has come. Whoever wants to know what changed looks for himself: events get lost
  /// where there are many.
  void clear() noexcept;

 private:
  explicit Events(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace warren::netlink
