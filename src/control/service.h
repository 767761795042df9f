/// What an instance does when the control socket asks. The protocol is described in warren-up(1).
///
///     {"command":"status"}   {"ok":true,"status":{…}}
///     {"command":"reload"}   {"ok":true} or {"ok":false,"error":"home.toml:3:1: …"}
///     {"command":"down"}     {"ok":true}, and the connection closes when everything is down
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <warren/loop.h>

#include "core/graph.h"

namespace warren::control {

class Service {
 public:
  struct Actions {
    std::function<Result<>()> reload;
    std::function<void()> down;
  };

  /// `name` and `file` are what status shows. All references outlive the service.
  Service(std::string name, std::string file, const Loop& loop, const Graph& graph, Actions actions)
      : name_(std::move(name)),
        file_(std::move(file)),
        loop_(loop),
        graph_(graph),
        actions_(std::move(actions)) {}

  /// A line of JSON to a line of JSON; whatever is wrong with it becomes an answer.
  [[nodiscard]] std::string handle(std::string_view request) const;

 private:
  std::string name_;
  std::string file_;
  const Loop& loop_;
  const Graph& graph_;
  Actions actions_;
  Clock::time_point started_ = Clock::now();
};

}  // namespace warren::control
