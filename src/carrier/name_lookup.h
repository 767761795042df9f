/// Looks a host's name up beside the loop: the DNS may take as long as it likes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <warren/address.h>
#include <warren/loop.h>
#include <warren/result.h>

namespace warren::carrier {

/// For the thread of the loop. Destroying it forgets a lookup that is under way.
class NameLookup {
 public:
  using Answer = Result<std::vector<IpAddress>>;

  /// `done` is called from the loop.
  [[nodiscard]] static Result<std::unique_ptr<NameLookup>> create(
      Loop& loop, std::function<void(const Answer&)> done);
  /// Does nothing while one is under way.
  void start(const std::string& host);

 private:
  struct Shared;
  explicit NameLookup(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Loop::Watch> watch_;
  bool busy_ = false;
};

}  // namespace warren::carrier
