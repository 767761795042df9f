/// What a running instance has changed in the kernel, so that the next one can take it back.
///
///     /run/warren/home.journal     a line for each change that stands: ["port","lan3","br-lan"]
///
/// A change is noted before it is made. So whatever moment a process is killed in, the file names at
/// least what it did; undoing what was not done yet is harmless. The first line names the network
/// namespace: devices of the same name elsewhere are others.
///
/// There is one journal in a process, as there is one instance. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <warren/result.h>

#include "net/undo.h"

namespace warren::net {

class Journal {
 public:
  using Id = std::uint64_t;

  /// Keeps it in this file from now on, for an instance of this name. What a killed one left there is
  /// undone first. Without it the journal is in memory only.
  Result<> open(const std::string& instance, const std::string& path);
  /// Only the name, for those who look and change nothing.
  void name(const std::string& instance) { instance_ = instance; }
  /// Where nothing stands any more, the file goes.
  void close();

  [[nodiscard]] Result<Id> add(const Undo& undo);
  /// Performs it, and forgets it.
  Result<> undo(Id id, netlink::Socket& socket);

  /// "home"
  [[nodiscard]] const std::string& instance() const { return instance_; }
  /// What marks devices as ours: "warren:home".
  [[nodiscard]] std::string alias() const { return "warren:" + instance_; }

  /// How many changes a killed instance left in the file. An error where it left them in another
  /// network namespace.
  [[nodiscard]] static Result<std::size_t> left_behind(const std::string& path);

 private:
  Result<> replay(const std::string& path);
  Result<> write() const;

  std::string instance_ = "warren";
  std::string path_;
  std::map<Id, Undo> changes_;
  Id next_ = 1;
};

[[nodiscard]] Journal& journal();

}  // namespace warren::net
