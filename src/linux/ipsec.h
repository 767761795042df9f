/// Whether packets of a network namespace may go through IPsec (XFRM) policies.
///
/// For one thread at a time. Source: include/uapi/linux/xfrm.h.
#pragma once

#include <warren/fd.h>
#include <warren/result.h>

namespace warren {

class IpsecPolicies {
 public:
  /// Of the namespace that the calling thread is in now. Needs CAP_NET_ADMIN now, and no privilege
  /// later. Fails with EPROTONOSUPPORT where the kernel has no IPsec.
  [[nodiscard]] static Result<IpsecPolicies> watch();

  /// There were some when the watch began.
  [[nodiscard]] bool were_there() const noexcept { return were_there_; }
  /// Readable when something about policies has changed.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Whether one may have been added since the last call. Does not wait.
  [[nodiscard]] bool take_added() noexcept;

 private:
  IpsecPolicies(Fd fd, bool were_there) : fd_(std::move(fd)), were_there_(were_there) {}
  Fd fd_;
  bool were_there_;
};

}  // namespace warren
