/// Errors of set-up code. The data path does not use them: there, errors are counters (see
/// counters.h).
#pragma once

#include <tl/expected.hpp>

#include <cerrno>
#include <string>
#include <utility>

namespace warren {

struct Error {
  std::string message;  ///< Names the object, the action and, where there is one, the errno text.
  int code = 0;         ///< The errno value, or 0.
};

template <class T = void>
using Result = tl::expected<T, Error>;

[[nodiscard]] tl::unexpected<Error> fail(std::string message, int code = 0);

/// "WHAT: Permission denied". Call it before anything else can change errno.
[[nodiscard]] tl::unexpected<Error> fail_errno(const std::string& what, int code = errno);

/// Passes an error on, with where it happened put in front: "CONTEXT: MESSAGE".
[[nodiscard]] tl::unexpected<Error> fail_in(const std::string& context, const Error& error);

}  // namespace warren
