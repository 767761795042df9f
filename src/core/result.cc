#include <cstring>

#include <warren/result.h>

namespace warren {

tl::unexpected<Error> fail(std::string message, int code) {
  return tl::unexpected<Error>(Error{std::move(message), code});
}

tl::unexpected<Error> fail_errno(const std::string& what, int code) {
  return fail(what + ": " + std::strerror(code), code);
}

tl::unexpected<Error> fail_in(const std::string& context, const Error& error) {
  return fail(context + ": " + error.message, error.code);
}

}  // namespace warren
