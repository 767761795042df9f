/// The kernel's settings under /proc/sys, of the calling thread's network namespace.
///
/// Names are written as sysctl(8) takes them with slashes: "net/ipv4/ip_forward". A device's name may
/// have dots, so dots are no separators here.
#pragma once

#include <string>

#include <warren/result.h>

namespace warren::sysctl {

/// Without the line's end.
[[nodiscard]] Result<std::string> read(const std::string& name);
Result<> write(const std::string& name, const std::string& value);

}  // namespace warren::sysctl
